"""Presets of global-local contrast: Ma et al. 2021, https://arxiv.org/abs/2104.05418."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

PRESETS = {
    "small": Preset(
        "hundreds to thousands of clips with sound, 32 to 64 px, from scratch",
        "ours: the method's defaults, for the paper has no run of that size",
        Recipe("adamw", learning_rate=3e-3, weight_decay=1e-4),
        batch_size=64,
        epochs=100,
    ),
    "middle": Preset(
        "tens of thousands of clips with sound, 96 to 128 px",
        "ours: between the small run and the public code's",
        Recipe("adamw", learning_rate=1e-3, weight_decay=1e-4),
        batch_size=64,
        epochs=40,
        settings={"sound_network": "resnet18", "bands": 80, "dim": 256},
    ),
    "imagenet": Preset(
        "Kinetics, 112 px, torchvision/r3d_18 on 32 frames (--frames 32); images have no sound",
        "https://github.com/yunyikristy/global_local: Adam at 1e-4 for 32 clips a device, which is this rate for 256, "
        "ten epochs, heads and networks of these widths; cosines, their temperature and the schedule are ours",
        Recipe("adamw", learning_rate=2.8e-4, weight_decay=0.0),
        batch_size=32,
        epochs=10,
        settings={"sound_network": "resnet18", "bands": 80, "steps": 3, "dim": 512},
        image_size=112,
    ),
}
