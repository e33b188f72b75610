"""MoDist's presets: Xiao et al. 2021, https://arxiv.org/abs/2106.09703."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

AUTHORS = "https://github.com/amazon-science/self-supervised-maclr"
MSCL = "https://github.com/megvii-research/MSCL"

PRESETS = {
    "small": Preset(
        "clips of 32 to 64 px, some thousands",
        "ours: nobody has such a run; a queue that a few thousand clips fill several times over",
        Recipe("sgd", learning_rate=0.1, weight_decay=1e-4),
        batch_size=64,
        epochs=100,
    ),
    "middle": Preset(
        "Kinetics-400, 112 px, 3-D ResNet-18 (--image-size 112 --encoder torchvision/r3d_18), 8 frames, 8 apart",
        f"{MSCL}, mscl_r18_cosm_lr2e-2.py: its terms between whole clips, without its local ones; five epochs of "
        "warm-up; the network for flow, which theirs has 2-D and of 128 features, is a 2-D ResNet-18",
        Recipe("sgd", learning_rate=0.04, weight_decay=1e-4, warm_up=5 / 400),
        batch_size=128,
        epochs=400,
        settings={"temperature": 0.07, "queue": 65536, "motion_encoder": "timm/resnet18"},
    ),
    "imagenet": Preset(
        "Kinetics-400, 224 px, 3-D ResNet-50 of the authors', which is not here; 8 frames, 8 apart",
        f"settings in {AUTHORS}, slowfast/config/defaults.py, whose batch of 64 may not be that of the paper's runs; "
        "its motion network is not told: a 2-D ResNet-18",
        Recipe("sgd", learning_rate=0.4, weight_decay=1e-4, warm_up=0.0),
        batch_size=64,
        epochs=300,
        settings={"momentum": 0.999, "queue": 65536, "hidden": 2048, "motion_encoder": "timm/resnet18"},
        image_size=224,
    ),
}
