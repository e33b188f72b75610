"""SupCon's presets: Khosla et al. 2020, https://arxiv.org/abs/2004.11362."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe
from likewise.views.policies import simclr

PRESETS = {
    "small": Preset(
        "CIFAR-10 and CIFAR-100, 32 px, ResNet-50",
        "the authors' README, https://github.com/HobbitLong/SupContrast: a rate of 0.5 for 1,024 images",
        Recipe("sgd", learning_rate=0.125, weight_decay=1e-4),
        batch_size=1024,
        epochs=1000,
        settings={"hidden": 2048},
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the authors' run on CIFAR with a smaller batch for a shorter time",
        Recipe("sgd", learning_rate=0.125, weight_decay=1e-4),
        batch_size=512,
        epochs=200,
        settings={"hidden": 2048},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "supcon_imagenet_resnet50.sh, https://github.com/google-research/google-research/tree/master/supcon, whose "
        "head is one layer and whose views are AutoAugment's; here they are SimCLR's",
        Recipe("lars", learning_rate=0.4, weight_decay=1e-3),
        batch_size=6144,
        epochs=350,
        settings={"hidden": 2048, "views": simclr()},
        image_size=224,
    ),
}
