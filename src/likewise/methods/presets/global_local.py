"""Presets of global-local contrast: Ma et al. 2021, https://arxiv.org/abs/2104.05418."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

CODE = "https://github.com/yunyikristy/global_local"
WIDE = {"sound_network": "resnet18", "bands": 80, "steps": 3, "dim": 512}
"""As wide as the public code has it."""

PRESETS = {
    "small": Preset(
        "hundreds to thousands of clips with sound, 32 to 64 px, from scratch",
        "ours: the method's defaults, for the paper has no run of that size",
        Recipe("adamw", learning_rate=3e-3, weight_decay=1e-4),
        batch_size=64,
        epochs=100,
    ),
    "middle": Preset(
        "Kinetics, 112 px (--image-size 112), torchvision/r3d_18 on 32 frames (--frames 32)",
        f"{CODE}: Adam at 1e-4 for 32 clips, which is this rate for 256, ten epochs, widths of networks and heads; "
        "the batch, for negatives, and the cosines' temperature are ours",
        Recipe("adamw", learning_rate=2.8e-4, weight_decay=0.0),
        batch_size=64,
        epochs=10,
        settings=WIDE,
    ),
    "imagenet": Preset(
        "Kinetics, 224 px, torchvision/r3d_18 on 32 frames (--frames 32); images have no sound",
        "ours: the middle one's at twice the side, for the authors show no run of that size",
        Recipe("adamw", learning_rate=2.8e-4, weight_decay=0.0),
        batch_size=64,
        epochs=10,
        settings=WIDE,
        image_size=224,
    ),
}
