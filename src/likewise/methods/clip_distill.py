"""CLIP with soft targets from a slow teacher: a caption may describe other images too, or not its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.heads import LearnedScale
from likewise.losses import clip_loss, optimal_transport_targets, pair_divergence, pair_targets
from likewise.memory import ema_update, make_ema_copy
from likewise.memory.teacher import momentum_at
from likewise.methods.card import Card, Preset
from likewise.methods.clip import CLIP, embed_pairs
from likewise.methods.method import Nets, Outputs, Progress, Step, feature_std
from likewise.methods.recipe import Recipe

PRESETS = {
    "small": Preset(
        "thousands of captioned images, 32 to 64 px, from scratch",
        "ours: CLIP's small run, for the paper has none of that size",
        CLIP.card.presets["small"].recipe,
        batch_size=256,
        epochs=50,
        settings={"text_width": 256},
    ),
    "middle": Preset(
        "tens of thousands of captioned photographs, 96 to 128 px",
        "ours: CLIP's middle run",
        CLIP.card.presets["middle"].recipe,
        batch_size=512,
        epochs=60,
        settings={"text_width": 256, "text_layers": 4, "dim": 256},
    ),
    "imagenet": Preset(
        "Conceptual Captions, 3 million pairs, 224 px, ResNet-50 and a pretrained text encoder",
        "launch_scripts/train_OTTER.sh lines 6-28 of https://github.com/facebookresearch/OTTER (commit 605d317): a "
        "rate of 3e-3 for 512 pairs, both encoders pretrained; name the text encoder with --method.text-encoder and "
        "start the images with --pretrained",
        Recipe("sgd", learning_rate=1.5e-3, weight_decay=0.0, warm_up=0.0),
        batch_size=512,
        epochs=10,
        settings={
            "text_length": 60,
            "dim": 768,
            "tune_text": True,
            "scale": 49.4,
            "student_scale": 49.4,
        },
        image_size=224,
    ),
}


@dataclass(frozen=True)
class CLIPDistill(CLIP):
    """Cheng et al. 2021, Sec. 3, https://arxiv.org/abs/2104.08945; targets of OTTER from https://arxiv.org/abs/2112.09445.

    The teacher sees the same view and caption, and is updated after each step, which equals an update before the next.
    Both halves of the loss are means over the two directions, where the authors' code adds them. Rows of all devices
    keep their gradient.
    """

    card = Card(
        title="CLIP with self-distillation",
        paper="Cheng et al. 2021, https://arxiv.org/abs/2104.08945",
        needs="no labels",
        also_needs="captions",
        idea="CLIP with soft targets from an EMA teacher besides the captions.",
        choose_when="captions are often wrong, and encoders are pretrained or runs are long",
        recipe=CLIP.card.recipe,
        presets=PRESETS,
    )

    targets: Literal["all", "cross", "transport"] = "all"
    """targets from the teacher's similarities: within images, within texts and across (all, the authors' code); across
    alone (cross, the paper's form); or all of them balanced by optimal transport (transport: OTTER)"""
    hard: float = 0.5
    """share of CLIP's own loss; the rest is the teacher's (paper: 0.5)"""
    sharpness: float = 100.0
    """multiplies the teacher's similarities before the softmax (authors: 100); transport has epsilon 0.15 instead"""
    student_scale: float = 1 / 0.07
    """as ``scale``, of the loss against soft targets (authors: both e^3.9, for pretrained encoders)"""
    momentum: float = 0.999
    """of the teacher, less in the first steps: (1 + step) / (10 + step) (authors: the same)"""

    def __post_init__(self) -> None:
        if not 0 <= self.hard <= 1:
            raise LikewiseError(
                f"hard={self.hard} was given; it is the share of CLIP's own loss, from 0 to 1."
            )

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """As CLIP, a second scale, and a teacher of encoder and space."""
        nets = super().build(encoder, classes)
        nets.soft_scale = LearnedScale(self.student_scale)
        nets.teacher = make_ema_copy(nn.ModuleDict({"encoder": nets.encoder, "space": nets.space}))
        return nets

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Both sides of each pair, by student and teacher."""
        view, caption = self.view_and_caption(batch, progress)
        image, text = embed_pairs(nets.encoder, nets.space, view, caption)
        encoder, space = nets.teacher["encoder"], nets.teacher["space"]
        with torch.no_grad():
            teacher_image, teacher_text = embed_pairs(encoder, space, view, caption)
        return {
            "image": image,
            "text": text,
            "teacher image": teacher_image,
            "teacher text": teacher_text,
        }

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """CLIP's loss, plus the divergence from the teacher's soft targets."""
        images, texts = outputs["image"], outputs["text"]
        image_targets, text_targets = self.soft_targets(
            outputs["teacher image"], outputs["teacher text"]
        )
        named = clip_loss(images, texts, nets.scale(), self.smoothing)
        taught = pair_divergence(images, texts, image_targets, text_targets, nets.soft_scale())
        metrics = {
            "feature_std": feature_std(images),
            "scale": nets.scale(),
            "clip": named,
            "distill": taught,
        }
        return Step(self.hard * named + (1 - self.hard) * taught, metrics)

    def soft_targets(self, images: Tensor, texts: Tensor) -> Tensor:
        """Soft targets [2, N, N] from the teacher's vectors."""
        if self.targets == "transport":
            return optimal_transport_targets(images, texts)
        within = float(self.targets == "all")
        return pair_targets(images, texts, self.sharpness, within, within)

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Clamp the scales, then update the EMA teacher."""
        super().after_update(nets, step, progress)
        nets.soft_scale.bound()
        student = nn.ModuleDict({"encoder": nets.encoder, "space": nets.space})
        ema_update(nets.teacher, student, momentum_at(progress.step, self.momentum))
