"""BYOL's presets: Grill et al. 2020, https://arxiv.org/abs/2006.07733."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, ResNet-18",
        "ours: networks, teacher and length of solo-learn's run, https://github.com/vturrisi/solo-learn; its rate of 1 "
        "belongs to a LARS that clips",
        Recipe("lars", learning_rate=0.4, weight_decay=1e-5),
        batch_size=256,
        epochs=1000,
        settings={"hidden": 4096},
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: what the paper has for 300 epochs of ImageNet, with a smaller batch",
        Recipe("lars", learning_rate=0.3, weight_decay=1e-6),
        batch_size=512,
        epochs=300,
        settings={"hidden": 4096},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "Sec. 3 of the paper (implementation details), https://arxiv.org/abs/2006.07733",
        Recipe("lars", learning_rate=0.2, weight_decay=1.5e-6),
        batch_size=4096,
        epochs=1000,
        settings={"momentum": 0.996, "hidden": 4096},
        image_size=224,
    ),
    "imagenet-short": Preset(
        "ImageNet, 224 px, ResNet-50, a tenth of the epochs",
        "the presets for 100 epochs of the authors' code, "
        "https://github.com/deepmind/deepmind-research/tree/master/byol",
        Recipe("lars", learning_rate=0.45, weight_decay=1e-6, warm_up=0.1),
        batch_size=4096,
        epochs=100,
        settings={"hidden": 4096},
        image_size=224,
    ),
}
