"""Arms that train the encoder: fine-tuning from pretrained weights, and labels alone from random ones."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from likewise.adaptation import Adaptation, Adapted, adapt
from likewise.advice.arm import AdviceArm, ArmCard, Trained
from likewise.advice.candidates import StartingPoint
from likewise.advice.heads import mean_of_two
from likewise.data.batch import UNLABELLED
from likewise.evaluation.features import extract
from likewise.methods import Recipe
from likewise.views.centre_view import CentreView

BACKWARD = {"frozen": 1.0, "last": 3.0, "lora": 4.6, "full": 5.0}
"""the time of a training step over that of a forward pass, before a step has been measured"""

VIEW_SECONDS = 0.0004
"""for one augmented view and the bookkeeping of a step, before a step has been measured"""

LEAST_STEPS = 0.9
"""share of the planned steps without which a fit is not compared: it would be another arm"""


BATCH = 32
"""labelled images of a step: small, so that few labels get many steps"""

EPOCHS, SCRATCH_EPOCHS = 20, 60
"""passes over the labelled images, where the time allows"""

ENOUGH_STEPS, ENOUGH_SCRATCH_STEPS, FEWEST_STEPS = 60, 400, 30
"""with few labels; those from random weights; and with little time"""

SCRATCH_RECIPE = Recipe(learning_rate=0.4, weight_decay=5e-4)
"""that of `likewise.evaluation.metrics.fine_tune.FineTune`"""


@dataclass(frozen=True, eq=False)
class Bench:
    """What all arms that train an encoder share."""

    classes: int
    """K"""
    device: torch.device
    seed: int
    steps: int
    """optimiser steps of a fit, the same for all"""


def planned_steps(labelled: int, step_seconds: float, seconds: float, scratch: bool = False) -> int:
    """Optimiser steps of a fit: what so many labels need, or what the time allows; never below `FEWEST_STEPS`.

    Args:
        labelled: images with a label.
        step_seconds: of one step.
        seconds: for one fit.
        scratch: whether the encoder starts from random weights.
    """
    possible = int(seconds / step_seconds)
    return max(FEWEST_STEPS, min(wanted_steps(labelled, scratch), possible))


def wanted_steps(labelled: int, scratch: bool = False) -> int:
    """Optimiser steps of a fit, where time does not matter."""
    epochs, least = (SCRATCH_EPOCHS, ENOUGH_SCRATCH_STEPS) if scratch else (EPOCHS, ENOUGH_STEPS)
    return max(least, round(epochs * labelled / BATCH))


def full_step_seconds(forward: float) -> float:
    """Of a step that trains a whole encoder, from the seconds of one image through it."""
    return BATCH * (forward * BACKWARD["full"] + VIEW_SECONDS)


class AdaptedArm(AdviceArm):
    """Fine-tuning, of the parameters that an adaptation names.

    Args:
        card: what it is.
        start: the encoder before it; one with random weights takes other rates, and statistics of its own.
        adaptation: which parameters learn.
        bench: images, steps, batch size.
    """

    def __init__(self, card: ArmCard, start: StartingPoint, adaptation: str, bench: Bench) -> None:
        self.card, self.start, self.adaptation, self.bench = card, start, adaptation, bench
        self.from_scratch = card.start == "scratch"
        kind = Adaptation.parse(adaptation).kind
        self.expected = bench.steps * BATCH * (start.cost.forward * BACKWARD[kind] + VIEW_SECONDS)

    def seconds(self, labelled: int) -> float:
        """The last fit's, or before it what forward passes suggest. All fits take equally many steps."""
        return self.expected

    def fit(self, labels: Tensor, left_out: Tensor, limit: float) -> Trained | None:
        """Fine-tune a copy of the start on the labelled images, then fit the head anew on its features.

        The head of fine-tuning is still on its way when a short run ends: with 50 to 100 labels and 60 steps the mean
        of a logistic regression and class prototypes was better by 2 to 7 points, and than the regression alone by -2
        to 3 (one draw each of CIFAR-10 (JPEG), CamVid, Flickr8k and Fashion-MNIST, 350 new images).
        """
        began = time.perf_counter()
        known = (labels != UNLABELLED).nonzero().flatten()
        adapted = self._adapted(known, labels[known], limit)
        if adapted.steps < LEAST_STEPS * self.bench.steps:
            return None
        trained = Trained(adapted.encoder, self.start.settings, adapted.head)
        head = mean_of_two(self.features(trained, known), labels[known], self.bench.classes)
        self.expected = time.perf_counter() - began
        return trained._replace(head=head)

    def _adapted(self, rows: Tensor, labels: Tensor, limit: float) -> Adapted:
        """Fine-tuned on some images, int64 [M], and their labels."""
        bench = self.bench
        return adapt(
            self.start.encoder,
            self.start.images.take(rows),
            labels,
            bench.classes,
            self.adaptation,
            steps=bench.steps,
            batch_size=BATCH,
            seed=bench.seed,
            device=bench.device,
            time_limit=limit,
            recipe=SCRATCH_RECIPE if self.from_scratch else None,
            freeze_bn_stats=not self.from_scratch,
        )

    def features(self, trained: Trained, rows: Tensor) -> Tensor:
        """A pass through the encoder."""
        view = CentreView(self.start.settings.image_size)
        return extract(
            trained.encoder, self.start.images, rows, view, batch_size=64, device=self.bench.device
        )


def adapted_arms(start: StartingPoint, bench: Bench) -> list[AdviceArm]:
    """LoRA, the whole network, and the whole network with a lower rate for earlier layers."""
    ways = {
        "lora": "LoRA",
        "full": "fine-tuned",
        "full:0.75": "fine-tuned, layer-wise rates",
    }
    return [
        AdaptedArm(ArmCard(f"{start.name}, {words}", "pretrained"), start, adaptation, bench)
        for adaptation, words in ways.items()
    ]


def scratch_arm(start: StartingPoint, bench: Bench) -> AdviceArm:
    """The labelled images alone, from random weights."""
    return AdaptedArm(
        ArmCard(f"{start.name}, from scratch, labels only", "scratch"), start, "full", bench
    )
