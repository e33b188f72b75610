"""PAWS's presets: Assran et al. 2021, https://arxiv.org/abs/2104.13963."""

from __future__ import annotations

from dataclasses import replace

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe
from likewise.views.policies import simclr_small, swav_small_crop

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, 4,000 labels, WRN-28-2",
        "configs/paws/cifar10_train.yaml, https://github.com/facebookresearch/suncet",
        Recipe("lars", learning_rate=3.2, weight_decay=1e-6),
        batch_size=256,
        epochs=600,
        settings={
            "images_per_class": 64,
            "small_crops": 6,
            "hidden": 128,
            "views": replace(simclr_small(), crop_area=(0.75, 1.0)),
        },
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the authors' run on ImageNet with narrower heads, fewer crops and a smaller batch",
        Recipe("lars", learning_rate=0.4, weight_decay=1e-6),
        batch_size=512,
        epochs=200,
        settings={"small_crops": 4, "hidden": 2048, "dim": 512},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, 1 or 10 % of the labels, ResNet-50",
        "configs/paws/imgnt_train.yaml, https://github.com/facebookresearch/suncet, on 64 GPUs; 300 epochs at best",
        Recipe("lars", learning_rate=0.4, weight_decay=1e-6, warm_up=0.1),
        batch_size=4096,
        epochs=100,
        settings={
            "classes_per_batch": 960,
            "images_per_class": 7,
            "small_crops": 6,
            "hidden": 2048,
            "dim": 2048,
            "predictor": True,
            "small_views": replace(swav_small_crop(), size=96),
        },
        image_size=224,
    ),
}
