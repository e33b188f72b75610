"""SetSim's presets: Wang et al. 2021, https://arxiv.org/abs/2107.08712."""

from __future__ import annotations

from likewise.losses.matched_sets import Matcher
from likewise.methods.preset import Preset
from likewise.methods.recipe import Recipe

CODE = "https://github.com/DerrickWang005/SetSim.pytorch"
RECIPE = Recipe("sgd", learning_rate=0.06, weight_decay=1e-4, warm_up=0.0)
"""Their script says 0.06 at a batch of 512, which its program multiplies by two."""
LONG = {"momentum": 0.999, "queue": 65536, "hidden": 2048, "places": 7}
"""What the authors set for a run of 200 epochs on ImageNet."""

PRESETS = {
    "small": Preset(
        "scenes of 64 px",
        "ours: the paper has none; a faster teacher, a shorter queue and maps of 8 x 8",
        Recipe("sgd", learning_rate=0.06, weight_decay=1e-4),
        batch_size=256,
        epochs=200,
    ),
    "middle": Preset(
        "scenes of 96 to 128 px",
        "ours: ImageNet's recipe with a faster teacher and a shorter queue",
        Recipe("sgd", learning_rate=0.06, weight_decay=1e-4),
        batch_size=256,
        epochs=200,
        settings={"queue": 16384},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        f"Sec. 3 and Fig. 2 for the matcher, attention and nearest neighbours; the rest {CODE}",
        RECIPE,
        batch_size=512,
        epochs=200,
        settings=LONG,
        image_size=224,
    ),
    "imagenet-official": Preset(
        "ImageNet, 224 px, ResNet-50",
        f"the command in {CODE}, which matches by attention and geometry",
        RECIPE,
        batch_size=512,
        epochs=200,
        settings={**LONG, "matcher": Matcher(nearest=False, geometry=True)},
        image_size=224,
    ),
}
