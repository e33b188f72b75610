"""KD's presets: Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531, as benchmarks of distillation run it."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe
from likewise.views.policies import ViewPolicy

PRESETS = {
    "small": Preset(
        "CIFAR-100, 32 px",
        "the benchmark of HSAKD's code, https://github.com/winycg/HSAKD: rate 0.05 for 64 images, 240 epochs; their "
        "rate falls in steps, ours by a cosine",
        Recipe("sgd", learning_rate=0.2, weight_decay=5e-4, warm_up=0.0),
        batch_size=64,
        epochs=240,
        settings={"temperature": 3.0},
    ),
    "middle": Preset(
        "images of 96 to 128 px",
        "ours: CIFAR-100's settings with ImageNet's decay",
        Recipe("sgd", learning_rate=0.1, weight_decay=1e-4),
        batch_size=128,
        epochs=200,
        settings={"temperature": 3.0},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-34 to ResNet-18",
        "the benchmark of HSAKD's code, https://github.com/winycg/HSAKD; their rate falls in steps, ours by a cosine",
        Recipe("sgd", learning_rate=0.1, weight_decay=1e-4, warm_up=0.0),
        batch_size=256,
        epochs=100,
        settings={"temperature": 3.0, "views": ViewPolicy()},
        image_size=224,
    ),
}
