"""Arms that train the encoder: fine-tuning from pretrained weights, and labels alone from random ones."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from likewise.adaptation import Adaptation, adapt
from likewise.advice.arm import Arm, ArmCard, Trained
from likewise.data.batch import UNLABELLED
from likewise.data.images import Images
from likewise.encoders import Encoder, EncoderSettings
from likewise.evaluation.features import extract
from likewise.views.policies import CentreView

BACKWARD = {"frozen": 1.0, "last": 1.6, "lora": 2.8, "full": 3.0}
"""the time of a training step over that of a forward pass, before a step has been measured"""

LEAST_STEPS = 0.9
"""share of the planned steps without which a fit is not compared: it would be another arm"""


@dataclass(frozen=True, eq=False)
class Bench:
    """What all arms that train an encoder share."""

    images: Images
    """N of them"""
    classes: int
    """K"""
    device: torch.device
    seed: int
    steps: int
    """optimiser steps of a fit, the same for all"""
    batch_size: int
    """labelled images of a step"""


class AdaptedArm(Arm):
    """Fine-tuning, of the parameters that an adaptation names.

    Args:
        card: what it is.
        start: the encoder before it.
        settings: of the encoder.
        adaptation: which parameters learn.
        bench: images, steps, batch size.
        forward_seconds: of one image through the encoder.
    """

    def __init__(
        self,
        card: ArmCard,
        start: Encoder,
        settings: EncoderSettings,
        adaptation: str,
        bench: Bench,
        forward_seconds: float,
    ) -> None:
        self.card, self.start, self.settings, self.adaptation, self.bench = card, start, settings, adaptation, bench
        step = bench.batch_size * forward_seconds * BACKWARD[Adaptation.parse(adaptation).kind]
        self.expected = bench.steps * step

    def seconds(self, labelled: int) -> float:
        """The last fit's, or before it what forward passes suggest. All fits take equally many steps."""
        return self.expected

    def fit(self, labels: Tensor, left_out: Tensor, limit: float) -> Trained | None:
        """Fine-tune a copy of the start on the labelled images."""
        began, bench = time.perf_counter(), self.bench
        known = (labels != UNLABELLED).nonzero().flatten()
        adapted = adapt(
            self.start,
            bench.images.take(known),
            labels[known],
            bench.classes,
            self.adaptation,
            steps=bench.steps,
            batch_size=bench.batch_size,
            seed=bench.seed,
            device=bench.device,
            time_limit=limit,
        )
        self.expected = time.perf_counter() - began
        if adapted.steps < LEAST_STEPS * bench.steps:
            return None
        return Trained(adapted.encoder, self.settings, adapted.head)

    def logits(self, trained: Trained, rows: Tensor) -> Tensor:
        """A pass through the encoder."""
        view = CentreView(self.settings.image_size)
        features = extract(trained.encoder, self.bench.images, rows, view, batch_size=64, device=self.bench.device)
        with torch.no_grad():
            return trained.head.cpu()(features)


def adapted_arms(
    name: str, start: Encoder, settings: EncoderSettings, bench: Bench, forward_seconds: float
) -> list[Arm]:
    """The last blocks, LoRA, the whole network, and the whole network with a lower rate for earlier layers."""
    ways = {
        "last:2": "the last 2 stages fine-tuned",
        "lora": "LoRA",
        "full": "fine-tuned",
        "full:0.75": "fine-tuned, layer-wise rates",
    }
    return [
        AdaptedArm(ArmCard(f"{name} {words}", "pretrained"), start, settings, adaptation, bench, forward_seconds)
        for adaptation, words in ways.items()
    ]


def scratch_arm(start: Encoder, settings: EncoderSettings, bench: Bench, forward_seconds: float) -> Arm:
    """The labelled images alone, from random weights; four times the steps, since nothing is learned yet."""
    card = ArmCard(f"{settings.name.removeprefix('timm/')} from scratch, labels only", "scratch")
    longer = replace(bench, steps=4 * bench.steps)
    return AdaptedArm(card, start, settings, "full", longer, forward_seconds)
