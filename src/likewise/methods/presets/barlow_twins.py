"""Barlow Twins' presets: Zbontar et al. 2021, https://arxiv.org/abs/2103.03230."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, ResNet-18",
        "ours: networks and length of solo-learn's run, https://github.com/vturrisi/solo-learn; its rate belongs to a "
        "LARS that clips",
        Recipe("lars", learning_rate=0.4, weight_decay=1e-6),
        batch_size=256,
        epochs=1000,
        settings={"hidden": 2048, "dim": 2048},
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the paper's ImageNet run with a head a quarter as wide and a smaller batch",
        Recipe("lars", learning_rate=0.2, weight_decay=1e-6),
        batch_size=512,
        epochs=400,
        settings={"hidden": 2048, "dim": 2048},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "Sec. 2.2 of the paper and the authors' README, https://github.com/facebookresearch/barlowtwins",
        Recipe("lars", learning_rate=0.2, weight_decay=1e-6),
        batch_size=2048,
        epochs=1000,
        settings={"hidden": 8192, "dim": 8192},
        image_size=224,
    ),
}
