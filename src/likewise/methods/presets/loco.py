"""LoCo's presets: Xiong, Ren and Urtasun 2020, https://arxiv.org/abs/2008.01342."""

from __future__ import annotations

from dataclasses import replace

from likewise.methods.preset import Preset
from likewise.methods.presets.simclr import PRESETS as SIMCLR
from likewise.methods.recipe import Recipe

PRESETS = {
    "small": replace(
        SIMCLR["small"],
        images="CIFAR-10, 32 px",
        source="ours: SimCLR's run on CIFAR-10, https://github.com/google-research/simclr; the paper has none",
    ),
    "middle": replace(SIMCLR["middle"], source="ours: as for SimCLR"),
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
