"""CoMatch's presets: Li, Xiong & Hoi 2021, https://arxiv.org/abs/2011.11183."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe
from likewise.views.policies import supcon, weak

RATE = 0.03 * 256 / 448
"""0.03 for 448 unlabelled images, stated for 256."""

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, 2 to 8 labels a class, WRN-28-2",
        "Train_CoMatch.py, https://github.com/salesforce/CoMatch: 524,288 steps of 64 labelled and 448 other images",
        Recipe("sgd", learning_rate=RATE, weight_decay=5e-4, warm_up=0.0),
        batch_size=448,
        epochs=4700,
        settings={"images_per_class": 6},
    ),
    "middle": Preset(
        "STL-10, 96 px, 100 labels a class",
        "the USB benchmark, https://github.com/microsoft/Semi-supervised-learning; the length is ours, as above",
        Recipe("sgd", learning_rate=RATE, weight_decay=5e-4, warm_up=0.0),
        batch_size=448,
        epochs=4700,
        settings={"images_per_class": 6, "graph_weight": 5.0},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px",
        "ours: the thresholds of comatch-ema, which is the authors' form for this size and the better choice",
        Recipe("sgd", learning_rate=0.04, weight_decay=1e-4),
        batch_size=640,
        epochs=400,
        settings={
            "temperature": 0.1,
            "threshold": 0.6,
            "edge": 0.3,
            "pseudo_label_weight": 10.0,
            "graph_weight": 10.0,
            "queue": 30000,
            "window": 128,
            "classes_per_batch": 80,
            "images_per_class": 2,
            "hidden": 2048,
            "dim": 128,
            "weak_views": weak(),
            "strong_views": supcon(),
        },
        image_size=224,
    ),
}
