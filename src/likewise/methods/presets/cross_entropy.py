"""The supervised baseline's presets: Khosla et al. 2020, https://arxiv.org/abs/2004.11362."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

PRESETS = {
    "small": Preset(
        "CIFAR-10 and CIFAR-100, 32 px, ResNet-50",
        "the baseline of SupCon's authors, https://github.com/HobbitLong/SupContrast: a rate of 0.8 for 1,024 images",
        Recipe("sgd", learning_rate=0.2, weight_decay=1e-4),
        batch_size=1024,
        epochs=500,
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the baseline for ImageNet with a smaller batch",
        Recipe("sgd", learning_rate=0.1, weight_decay=1e-4),
        batch_size=256,
        epochs=200,
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "cross_entropy_imagenet_resnet50.sh, https://github.com/google-research/google-research/tree/master/supcon, "
        "with AutoAugment's views and Nesterov's momentum",
        Recipe("sgd", learning_rate=0.1, weight_decay=1e-4),
        batch_size=6144,
        epochs=200,
        settings={"label_smoothing": 0.05},
        image_size=224,
    ),
}
