"""LoCo's presets: Xiong, Ren and Urtasun 2020, https://arxiv.org/abs/2008.01342."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px",
        "ours: SimCLR's run on CIFAR-10, https://github.com/google-research/simclr; the paper has none",
        Recipe("lars", learning_rate=1.0, weight_decay=1e-6),
        batch_size=512,
        epochs=1000,
        settings={"temperature": 0.5},
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: as for SimCLR",
        Recipe("lars", learning_rate=0.3, weight_decay=1e-6),
        batch_size=512,
        epochs=400,
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "Sec. 4 of the paper, https://arxiv.org/abs/2008.01342, which takes over SimCLR's recipe; no code is public",
        Recipe("lars", learning_rate=0.3, weight_decay=1e-6),
        batch_size=4096,
        epochs=800,
        settings={"temperature": 0.1, "hidden": 2048},
        image_size=224,
    ),
}
