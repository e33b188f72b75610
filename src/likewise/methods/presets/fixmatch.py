"""FixMatch's presets: Sohn et al. 2020, https://arxiv.org/abs/2001.07685."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe
from likewise.views.policies import comatch_strong

RATE = 0.03 * 256 / 448
"""0.03 for 448 unlabelled images, stated for 256."""

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, 4 to 400 labels a class, WRN-28-2",
        "App. B, https://arxiv.org/abs/2001.07685: 1,048,576 steps of 64 labelled and 448 other images",
        Recipe("sgd", learning_rate=RATE, weight_decay=5e-4, warm_up=0.0),
        batch_size=448,
        epochs=9400,
        settings={"images_per_class": 6},
    ),
    "middle": Preset(
        "STL-10, 96 px, 100 labels a class, WRN-37-2",
        "App. B, https://arxiv.org/abs/2001.07685; the length is ours, as many epochs as for CIFAR-10",
        Recipe("sgd", learning_rate=RATE, weight_decay=5e-4, warm_up=0.0),
        batch_size=448,
        epochs=9400,
        settings={"images_per_class": 6},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, 10 % of the labels, ResNet-50",
        "ours in rate and batch: threshold and weight are those of the authors' imagenet/fixmatch.py, "
        "https://github.com/google-research/fixmatch",
        Recipe("sgd", learning_rate=0.03, weight_decay=3e-4, warm_up=0.02),
        batch_size=1024,
        epochs=300,
        settings={"threshold": 0.7, "pseudo_label_weight": 10.0, "classes_per_batch": 100, "images_per_class": 2},
        image_size=224,
    ),
    "comatch-baseline": Preset(
        "CIFAR-10, 32 px, 4 labels a class",
        "Train_fixmatch.py, https://github.com/salesforce/CoMatch: guesses balanced, half of the operations made",
        Recipe("sgd", learning_rate=RATE, weight_decay=5e-4, warm_up=0.0),
        batch_size=448,
        epochs=4700,
        settings={"images_per_class": 6, "window": 32, "strong_views": comatch_strong()},
    ),
}
