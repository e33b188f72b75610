"""UGAN's presets: those of its parents, for its own paper's body could not be read."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

RATE = 1e-3 * (256 / 64) ** 0.5
"""Bad-GAN's 1e-3 for 64 images, stated for 256."""

PRESETS = {
    "small": Preset(
        "SVHN, 32 px, 100 labels a class, nine convolutions with weight norm (conv9-half)",
        "svhn_config of config.py, https://github.com/kimiyoung/ssl_bad_gan; good fakes by Triple-GAN's SVHN script, "
        "https://github.com/zhenxuan00/triple-gan; the two were not trained together there",
        Recipe("adamw", learning_rate=RATE, momentum=0.5, weight_decay=1e-4, warm_up=0.0),
        batch_size=64,
        epochs=900,
        settings={"width": 128, "bad_rate": RATE, "game_rate": 6e-4, "images_per_class": 6},
    ),
    "middle": Preset(
        "STL-10, 96 px, 100 labels a class",
        "ours: neither parent has images beyond 32 px; SVHN's settings with wider batches",
        Recipe("adamw", learning_rate=1e-3, momentum=0.5, weight_decay=1e-4, warm_up=0.02),
        batch_size=128,
        epochs=300,
        settings={"width": 128, "images_per_class": 6},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, 10 % of the labels",
        "ours: untried; neither parent has images beyond 32 px, and generators of this kind are not known to do "
        "1,000 classes; the classes of good fakes therefore weigh a tenth",
        Recipe("adamw", learning_rate=1e-3, momentum=0.5, weight_decay=1e-4, warm_up=0.02),
        batch_size=256,
        epochs=100,
        settings={"width": 128, "classes_per_batch": 64, "images_per_class": 1, "good_weight": 0.003},
        image_size=224,
    ),
}
