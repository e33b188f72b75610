"""SimCLR's presets: Chen et al. 2020, https://arxiv.org/abs/2002.05709."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, ResNet-18",
        "the authors' README, https://github.com/google-research/simclr; App. B.9 of the paper",
        Recipe("lars", learning_rate=1.0, weight_decay=1e-6),
        batch_size=512,
        epochs=1000,
        settings={"temperature": 0.5},
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the rate of the paper's ImageNet run, with a temperature between those for CIFAR-10 and for ImageNet",
        Recipe("lars", learning_rate=0.3, weight_decay=1e-6),
        batch_size=512,
        epochs=400,
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "Sec. 2.3 of the paper and the authors' README, https://github.com/google-research/simclr (best: 1,000)",
        Recipe("lars", learning_rate=0.3, weight_decay=1e-6, warm_up=0.1),
        batch_size=4096,
        epochs=100,
        settings={"temperature": 0.1, "hidden": 2048},
        image_size=224,
    ),
}
