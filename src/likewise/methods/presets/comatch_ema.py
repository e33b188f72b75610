"""Presets of CoMatch with an EMA teacher: Li, Xiong & Hoi 2021, https://arxiv.org/abs/2011.11183."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

SCRIPT = "imagenet/Train_CoMatch.py, https://github.com/salesforce/CoMatch: 160 labelled and 640 other images a step"
SUPPORT = {"classes_per_batch": 80, "images_per_class": 2, "hidden": 2048}

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px",
        "ours: the authors' thresholds for CIFAR-10 with a teacher that guesses; comatch is their form for this size",
        Recipe("sgd", learning_rate=0.03 * 256 / 448, weight_decay=5e-4, warm_up=0.0),
        batch_size=448,
        epochs=400,
        settings={
            "temperature": 0.2,
            "threshold": 0.95,
            "edge": 0.8,
            "pseudo_label_weight": 1.0,
            "graph_weight": 1.0,
            "images_per_class": 6,
            "queue": 2560,
            "window": 32,
        },
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the authors' run on ImageNet with a shorter memory and thresholds between those of both forms",
        Recipe("sgd", learning_rate=0.04, weight_decay=1e-4),
        batch_size=448,
        epochs=400,
        settings={"threshold": 0.8, "edge": 0.5, "images_per_class": 6, "queue": 8192},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, 1 % of the labels, ResNet-50",
        SCRIPT,
        Recipe("sgd", learning_rate=0.04, weight_decay=1e-4, warm_up=0.0),
        batch_size=640,
        epochs=400,
        settings=SUPPORT,
        image_size=224,
    ),
    "imagenet-10-percent": Preset(
        "ImageNet, 224 px, 10 % of the labels, ResNet-50",
        SCRIPT,
        Recipe("sgd", learning_rate=0.04, weight_decay=1e-4, warm_up=0.0),
        batch_size=640,
        epochs=400,
        settings=SUPPORT | {"threshold": 0.5, "edge": 0.2, "graph_weight": 2.0},
        image_size=224,
    ),
}
