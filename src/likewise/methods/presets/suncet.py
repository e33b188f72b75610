"""SuNCEt's presets: Assran et al. 2020, https://arxiv.org/abs/2006.10803."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px",
        "ours: SimCLR's run on CIFAR-10, https://github.com/google-research/simclr, with the term on for half of it; "
        "the authors' code has no such run",
        Recipe("lars", learning_rate=1.0, weight_decay=1e-6),
        batch_size=512,
        epochs=500,
        settings={"temperature": 0.5, "supervised_until": 0.5},
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: as for SimCLR, with the term on for half of the run",
        Recipe("lars", learning_rate=0.3, weight_decay=1e-6),
        batch_size=512,
        epochs=200,
        settings={"supervised_until": 0.5},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, a tenth of the labels, ResNet-50",
        "train_suncet_imgnt_u90_tr500.yaml in the first commit of https://github.com/facebookresearch/suncet: 64 GPUs "
        "of 44 images and 20 classes x 2, a rate of 4.8",
        Recipe("lars", learning_rate=4.8 * 256 / 2816, weight_decay=1e-6),
        batch_size=2816,
        epochs=500,
        settings={
            "temperature": 0.1,
            "hidden": 2048,
            "classes_per_batch": 1000,
            "images_per_class": 2,
            "supervised_until": 0.5,
        },
        image_size=224,
    ),
}
