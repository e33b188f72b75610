"""LiRA's presets: Ma et al. 2021, https://arxiv.org/abs/2106.09171."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

PRESETS = {
    "small": Preset(
        "hundreds to thousands of short clips of mouths, 32 to 64 px, lip-small",
        "ours: the method's defaults for longer, with fewer bands, for the paper has no run of that size",
        Recipe("adamw", learning_rate=5e-3, weight_decay=1e-2, warm_up=0.1),
        batch_size=64,
        epochs=40,
        settings={"bands": 40},
    ),
    "middle": Preset(
        "hundreds of hours of speech, mouths of 88 to 96 px, lip-resnet18",
        "ours: as the authors' group trains for words (AdamW, 3e-4 for 32 clips, 80 epochs), "
        "https://github.com/mpc001/Lipreading_using_Temporal_Convolutional_Networks; the target is not the paper's",
        Recipe("adamw", learning_rate=8.5e-4, weight_decay=1e-2, warm_up=0.1),
        batch_size=64,
        epochs=80,
    ),
    "imagenet": Preset(
        "thousands of hours of speech, faces of 224 px, lip-resnet18",
        "ours: the middle run on more and larger frames, which the paper does not use",
        Recipe("adamw", learning_rate=8.5e-4, weight_decay=1e-2, warm_up=0.05),
        batch_size=256,
        epochs=20,
        image_size=224,
    ),
}
