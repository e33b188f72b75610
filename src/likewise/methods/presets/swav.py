"""SwAV's presets: Caron et al. 2020, https://arxiv.org/abs/2006.09882."""

from __future__ import annotations

from dataclasses import replace

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe
from likewise.views.policies import swav_small_crop

SCRIPTS = "https://github.com/facebookresearch/swav/tree/main/scripts"
LARGE = {"prototypes": 3000, "hidden": 2048, "small_crops": 6, "small_views": replace(swav_small_crop(), size=96)}
"""What the authors' runs on ImageNet share."""

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px",
        "ours: ten prototypes a class; the paper has no such run",
        Recipe("lars", learning_rate=0.6, weight_decay=1e-6),
        batch_size=256,
        epochs=400,
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the authors' run on ImageNet with fewer prototypes, fewer crops and a smaller batch",
        Recipe("lars", learning_rate=0.6, weight_decay=1e-6),
        batch_size=512,
        epochs=200,
        settings={"prototypes": 500, "hidden": 2048, "small_crops": 4},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        f"swav_800ep_pretrain.sh, {SCRIPTS}; Sec. 4 and App. A of the paper",
        Recipe("lars", learning_rate=0.3, weight_decay=1e-6),
        batch_size=4096,
        epochs=800,
        settings=LARGE | {"frozen_until": 1 / 800},
        image_size=224,
    ),
    "imagenet-256": Preset(
        "ImageNet, 224 px, ResNet-50, 4 GPUs",
        f"swav_200ep_bs256_pretrain.sh, {SCRIPTS}",
        Recipe("lars", learning_rate=0.6, weight_decay=1e-6, warm_up=0.0),
        batch_size=256,
        epochs=200,
        settings=LARGE | {"queue": 3840, "queue_from": 15 / 200, "frozen_until": 1 / 200},
        image_size=224,
    ),
}
