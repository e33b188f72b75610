"""ISD's presets: Tejankar et al. 2021, https://arxiv.org/abs/2012.09259."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe
from likewise.views.policies import strong

PRESETS = {
    "small": Preset(
        "CIFAR, 32 px",
        "ours: the authors' settings for ResNet-50, which are the defaults, with a queue for 50,000 images; "
        "they have no such run",
        Recipe("sgd", learning_rate=0.05, weight_decay=1e-4, warm_up=0.0),
        batch_size=256,
        epochs=200,
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the authors' settings for ResNet-50 with a smaller queue",
        Recipe("sgd", learning_rate=0.05, weight_decay=1e-4, warm_up=0.0),
        batch_size=256,
        epochs=200,
        settings={"queue": 16384},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "the authors' train_isd_plus.py as their README starts it, https://github.com/UMBCvision/ISD",
        Recipe("sgd", learning_rate=0.05, weight_decay=1e-4, warm_up=0.0),
        batch_size=256,
        epochs=200,
        settings={"queue": 128000},
        image_size=224,
    ),
    "imagenet-resnet18": Preset(
        "ImageNet, 224 px, ResNet-18",
        "the authors' train_isd.py as their README starts it, https://github.com/UMBCvision/ISD; their rate falls to a "
        "fifth at epochs 140 and 180, here by a cosine",
        Recipe("sgd", learning_rate=0.01, weight_decay=1e-4, warm_up=0.0),
        batch_size=256,
        epochs=200,
        settings={
            "projector": False,
            "student_temperature": 0.02,
            "teacher_temperature": 0.02,
            "momentum": 0.999,
            "queue": 128000,
            "teacher_views": strong(),
        },
        image_size=224,
    ),
}
