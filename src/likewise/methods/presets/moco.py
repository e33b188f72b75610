"""MoCo v2's presets: Chen et al. 2020, https://arxiv.org/abs/2003.04297."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, ResNet-18",
        "the notebook for CIFAR-10 that https://github.com/facebookresearch/moco links, which has no hidden layer in "
        "the head",
        Recipe("sgd", learning_rate=0.03, weight_decay=5e-4, warm_up=0.0),
        batch_size=512,
        epochs=200,
        settings={"temperature": 0.1},
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the paper's rate, with the queue and the faster teacher that a set of some 100,000 images wants",
        Recipe("sgd", learning_rate=0.03, weight_decay=1e-4, warm_up=0.0),
        batch_size=256,
        epochs=200,
        settings={"queue": 16384, "momentum": 0.996},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "Sec. 3 of the paper and the authors' README, https://github.com/facebookresearch/moco; 800 epochs at best",
        Recipe("sgd", learning_rate=0.03, weight_decay=1e-4, warm_up=0.0),
        batch_size=256,
        epochs=200,
        settings={"queue": 65536, "momentum": 0.999, "hidden": 2048},
        image_size=224,
    ),
}
