"""Flow similarity's presets: Mahendran et al. 2018, https://arxiv.org/abs/1807.05636."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

RECIPE = Recipe("adamw", learning_rate=1e-3, weight_decay=1e-4)

PRESETS = {
    "small": Preset(
        "hundreds of videos, 32 to 64 px",
        "ours: the method's defaults, for the paper has no run of that size",
        RECIPE,
        batch_size=128,
        epochs=200,
    ),
    "middle": Preset(
        "thousands of videos, 96 to 128 px",
        "ours: the paper's number of pixels, with a smaller batch",
        RECIPE,
        batch_size=128,
        epochs=100,
        settings={"positions": 512, "still": 0.1},
    ),
    "imagenet": Preset(
        "frames of 200,000 videos, 224 px",
        "reconstructed after Sec. 4 of the paper, https://arxiv.org/abs/1807.05636, which trains AlexNet on YFCC100M: "
        "the pixels of an image, its size and the first rate; the length is ours",
        RECIPE,
        batch_size=256,
        epochs=10,
        settings={"positions": 512, "still": 0.2},
        image_size=224,
    ),
}
