"""SimSiam's presets: Chen & He 2021, https://arxiv.org/abs/2011.10566."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

NETWORKS = {"hidden": 2048, "dim": 2048, "bottleneck": 512}
"""The paper's widths, for every size of images."""

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, ResNet-18",
        "App. D of the paper, https://arxiv.org/abs/2011.10566",
        Recipe("sgd", learning_rate=0.03, weight_decay=5e-4, warm_up=0.0),
        batch_size=512,
        epochs=800,
        settings=NETWORKS,
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the paper's ImageNet run with a smaller batch for longer",
        Recipe("sgd", learning_rate=0.05, weight_decay=1e-4, warm_up=0.0),
        batch_size=256,
        epochs=400,
        settings=NETWORKS | {"layers": 3},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "Sec. 3 of the paper and the authors' defaults, https://github.com/facebookresearch/simsiam",
        Recipe("sgd", learning_rate=0.05, weight_decay=1e-4, warm_up=0.0),
        batch_size=512,
        epochs=100,
        settings=NETWORKS | {"layers": 3},
        image_size=224,
    ),
}
