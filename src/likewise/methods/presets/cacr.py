"""CACR's presets: Zheng et al. 2021, https://arxiv.org/abs/2105.03746."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, a small AlexNet",
        "small_scale_experiments, https://github.com/JegZheng/CACR-SSL; their rate is divided by 10 at epochs 155, "
        "170 and 185, here it falls by a cosine",
        Recipe("sgd", learning_rate=0.12, weight_decay=1e-4, warm_up=0.0),
        batch_size=128,
        epochs=200,
    ),
    "middle": Preset(
        "STL-10 at 64 px, and CIFAR-100",
        "small_scale_experiments, https://github.com/JegZheng/CACR-SSL; the rate falls as above",
        Recipe("sgd", learning_rate=0.12, weight_decay=1e-4, warm_up=0.0),
        batch_size=128,
        epochs=200,
        settings={"repulsion_sharpness": 2.0},
    ),
    "imagenet": Preset(
        "ImageNet-1k and -22k and WebVision, 224 px, ResNet-50",
        "large_scale_shift_experiments, https://github.com/JegZheng/CACR-SSL",
        Recipe("sgd", learning_rate=0.03, weight_decay=1e-4, warm_up=0.0),
        batch_size=256,
        epochs=200,
        settings={
            "repulsion_sharpness": 2.0,
            "through_weights": False,
            "queue": 65536,
            "momentum": 0.999,
            "hidden": 2048,
        },
        image_size=224,
    ),
}
