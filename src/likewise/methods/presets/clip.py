"""CLIP's presets: Radford et al. 2021, https://arxiv.org/abs/2103.00020."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

PRESETS = {
    "small": Preset(
        "thousands of captioned images, 32 to 64 px, from scratch",
        "ours: the method's defaults, for the papers have no run of that size",
        Recipe("adamw", learning_rate=1e-3, weight_decay=0.1),
        batch_size=256,
        epochs=50,
        settings={"text_width": 256},
    ),
    "middle": Preset(
        "tens of thousands of captioned photographs, 96 to 128 px",
        "ours: between the small run and the paper's",
        Recipe("adamw", learning_rate=5e-4, weight_decay=0.1),
        batch_size=512,
        epochs=60,
        settings={"text_width": 256, "text_layers": 4, "dim": 256},
    ),
    "imagenet": Preset(
        "400 million captioned images of the web, 224 px, ResNet-50",
        "Tables 18 to 20 of the paper, https://arxiv.org/abs/2103.00020: a rate of 5e-4 for 32,768 pairs, 76 tokens; "
        "its text encoder looks backwards only and takes the end token",
        Recipe("adamw", learning_rate=4.4e-5, weight_decay=0.2),
        batch_size=32768,
        epochs=32,
        settings={"vocabulary": 49152, "text_length": 76, "text_width": 512, "text_layers": 12, "dim": 1024},
        image_size=224,
    ),
}
