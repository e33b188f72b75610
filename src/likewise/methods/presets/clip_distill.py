"""Presets of CLIP with self-distillation: Cheng et al. 2021, https://arxiv.org/abs/2104.08945."""

from __future__ import annotations

from likewise.methods.preset import Preset
from likewise.methods.presets import clip
from likewise.methods.recipe import Recipe

PRESETS = {
    "small": Preset(
        "thousands of captioned images, 32 to 64 px, from scratch",
        "ours: CLIP's small run, for the paper has none of that size",
        clip.PRESETS["small"].recipe,
        batch_size=256,
        epochs=50,
        settings={"text_width": 256},
    ),
    "middle": Preset(
        "tens of thousands of captioned photographs, 96 to 128 px",
        "ours: CLIP's middle run",
        clip.PRESETS["middle"].recipe,
        batch_size=512,
        epochs=60,
        settings={"text_width": 256, "text_layers": 4, "dim": 256},
    ),
    "imagenet": Preset(
        "Conceptual Captions, 3 million pairs, 224 px, ResNet-50 and a pretrained text encoder",
        "the authors' code, https://github.com/facebookresearch/OTTER: a rate of 3e-3 for 512 pairs, both encoders "
        "pretrained; name the text encoder with --method.text-encoder and start the images with --pretrained",
        Recipe("sgd", learning_rate=1.5e-3, weight_decay=0.0),
        batch_size=512,
        epochs=10,
        settings={"text_length": 60, "dim": 768, "tune_text": True, "scale": 49.4, "student_scale": 49.4},
        image_size=224,
    ),
}
