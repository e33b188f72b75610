"""Fine-tuning a pretrained encoder on labelled images alone."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from likewise.adaptation.adaptation import Adaptation
from likewise.adaptation.learning_parameters import apply_adaptation, learning_rate_scales
from likewise.adaptation.lora import merge_lora
from likewise.adaptation.prototypes import prototype_classifier
from likewise.adaptation.soft_targets import SoftTargets, TargetTable
from likewise.data.batch import UNLABELLED
from likewise.data.images import Images
from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.evaluation.features import extract
from likewise.methods import Nets, Recipe
from likewise.methods.cross_entropy import CrossEntropy
from likewise.randomness import restored_rng, seed_networks
from likewise.training import Callback, CallbackState, choose_precision
from likewise.training.fabric_import import load_fabric
from likewise.training.fine_tuning import fine_tune
from likewise.training.precision import Precision
from likewise.views.centre_view import CentreView

if TYPE_CHECKING:
    from lightning_fabric import Fabric
from likewise.views.policies import weak
from likewise.views.view_policy import ViewPolicy

LEARNING_RATES = {"frozen": 1e-3, "lora": 4e-3, "last": 1e-3, "full": 1e-3}
"""For a batch of 256, of AdamW. Low-rank factors take a higher rate than whole weights."""

TRIAL_STEPS = 3
"""Steps by which the time of a step is measured where there is a time limit."""

FEATURES = 5000
"""Images whose features give the mean and the norm of the classifier, besides the labelled ones."""


@dataclass(frozen=True)
class Adapted:
    """A fine-tuned copy of an encoder, with its classifier."""

    encoder: Encoder
    """of the same class, with the same names of tensors; LoRA is merged into the weights"""
    head: nn.Linear
    """features [B, D] -> logits [B, K]"""
    steps: int
    """optimiser steps that were done"""
    seconds: float
    """all of it, with the first features"""


@dataclass
class TimeLimit(Callback):
    """Stop training at a time, after the step in progress."""

    deadline: float
    """by ``time.perf_counter``"""
    measures: bool = False
    """whether each step waits for the device, so that ``step_seconds`` are true; a GPU is slower that way"""
    step_seconds: list[float] = field(default_factory=list)
    """how long steps took, without the first, which waits for kernels to be chosen"""
    _since: float = field(default=0.0, repr=False)

    def on_start(self, state: CallbackState) -> None:
        """Start the clock of the first step."""
        self._since = time.perf_counter()

    def on_step(self, state: CallbackState) -> None:
        """Stop where the time is over."""
        if self.measures and state.nets.encoder.mean.is_cuda:
            torch.cuda.synchronize()
        now = time.perf_counter()
        if state.step > 1:
            self.step_seconds.append(now - self._since)
        self._since = now
        if now >= self.deadline:
            state.stop("the time limit is reached")


@restored_rng()
def adapt(
    encoder: Encoder,
    images: Images,
    labels: Tensor,
    num_classes: int,
    adaptation: Adaptation | str = "lora",
    *,
    steps: int = 300,
    batch_size: int = 64,
    seed: int = 0,
    device: torch.device | str = "cpu",
    time_limit: float | None = None,
    recipe: Recipe | None = None,
    views: ViewPolicy | None = None,
    image_size: int | None = None,
    freeze_bn_stats: bool = True,
    precision: Precision = "auto",
    targets: Tensor | None = None,
) -> Adapted:
    """Fine-tune a copy of an encoder, with a classifier that starts from class prototypes; the encoder stays as it is.

    The same arguments give the same weights on the same machine, unless the time limit shortens the run.

    Args:
        encoder: the start.
        images: labelled and unlabelled; unlabelled ones only centre and scale the first classifier.
        labels: int64 [N] in 0..K-1, -1 for unlabelled images.
        num_classes: K.
        adaptation: which parameters learn, or its name.
        steps: optimiser steps.
        batch_size: labelled images of a step; fewer are repeated, each time in another view.
        seed: of LoRA's factors, the order of images and the views.
        device: where to compute.
        time_limit: seconds; the number of steps is then reduced to what fits, measured over the first steps, so that
            the schedule still ends; and training stops at the limit in any case.
        recipe: optimiser and schedule; None: AdamW with a cosine, at a rate that suits the adaptation.
        views: augmentation; None: crop and flip.
        image_size: side in pixels of the views; None: as stored.
        freeze_bn_stats: batch normalisation keeps the statistics of pre-training. With few labelled images they
            would become those of these images alone, repeated in every batch.
        precision: number format of the network.
        targets: float [N, K], class probabilities to learn instead of the labels, such as pseudo-labels; the labels
            then make the first classifier alone.

    Raises:
        LikewiseError: no image is labelled, the adaptation does not fit the encoder, or LoRA's package is missing.
    """
    begin = time.perf_counter()
    adaptation = Adaptation.parse(adaptation)
    if not bool((labels != UNLABELLED).any()):
        raise LikewiseError("Adapting an encoder needs labelled images, but every label is -1.")
    device = torch.device(device)
    head = first_head(encoder, images, labels, num_classes, seed, device, image_size)
    nets = Nets(encoder=copy.deepcopy(encoder).requires_grad_(True), classifier=head)
    set_learning_parameters(nets, adaptation, seed, freeze_bn_stats)
    method: CrossEntropy = CrossEntropy(views=views or weak())
    if targets is not None:
        method = SoftTargets(views=method.views)
        nets.targets = TargetTable(targets)
        labels = torch.arange(len(images))  # every image takes part
    training = _Training(
        _fabric(device, precision), method, images, labels, recipe or default_recipe(adaptation),
        batch_size, seed, image_size,
    )  # fmt: skip
    done = training.run(nets, steps, None if time_limit is None else begin + time_limit)
    merge_lora(nets.encoder)
    nets.requires_grad_(True).eval()
    return Adapted(nets.encoder, nets.classifier, done, time.perf_counter() - begin)


def first_head(
    encoder: Encoder,
    images: Images,
    labels: Tensor,
    num_classes: int,
    seed: int,
    device: torch.device,
    image_size: int | None = None,
) -> nn.Linear:
    """The classifier from the class prototypes of the encoder's features."""
    labelled = (labels != UNLABELLED).nonzero().flatten()
    others = (labels == UNLABELLED).nonzero().flatten()
    order = torch.randperm(len(others), generator=torch.Generator().manual_seed(seed))
    index = torch.cat([labelled, others[order[:FEATURES]]])
    features = extract(encoder, images, index, CentreView(image_size or images.size), device=device)
    return prototype_classifier(features, labels[index], num_classes).to(device)


def set_learning_parameters(
    nets: Nets, adaptation: Adaptation, seed: int, freeze_bn_stats: bool = True
) -> None:
    """Apply an adaptation to ``nets.encoder``, which is changed."""
    seed_networks(seed, "adaptation")  # LoRA's first factors are random
    apply_adaptation(nets.encoder, adaptation)
    if freeze_bn_stats:
        nets.freeze_bn_stats()
    scales = learning_rate_scales(nets.encoder, adaptation.layer_decay)
    nets.learning_rate_scales = {f"encoder.{name}": scale for name, scale in scales.items()}


def default_recipe(adaptation: Adaptation) -> Recipe:
    """AdamW with a cosine; weight decay as in AdamW's default.

    AdamW suits every kind of pretrained network, where SGD's rate depends on it; the schedule is that of BiT and of
    most fine-tuning since (Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983).
    """
    return Recipe("adamw", LEARNING_RATES[adaptation.kind], weight_decay=0.01, warm_up=0.1)


@dataclass(frozen=True)
class _Training:
    """What does not change between the trial and the training."""

    fabric: Fabric
    method: CrossEntropy
    images: Images
    labels: Tensor
    recipe: Recipe
    batch_size: int
    seed: int
    image_size: int | None

    def run(self, nets: Nets, steps: int, deadline: float | None) -> int:
        """Train as many steps as are wanted, or fewer that end before a time; the steps that were done."""
        if deadline is None:
            return self._train(nets, steps, TimeLimit(math.inf))
        steps = min(steps, self._steps_that_fit(nets, deadline))
        return self._train(nets, steps, TimeLimit(deadline)) if steps > 0 else 0

    def _steps_that_fit(self, nets: Nets, deadline: float) -> int:
        """By the time of a few steps with a copy of the networks."""
        clock = TimeLimit(deadline, measures=True)
        self._train(copy.deepcopy(nets), TRIAL_STEPS, clock)
        if not clock.step_seconds:
            return 0
        per_step = sum(clock.step_seconds) / len(clock.step_seconds)
        return int((deadline - time.perf_counter()) / per_step)

    def _train(self, nets: Nets, steps: int, clock: TimeLimit) -> int:
        state = fine_tune(
            self.fabric, self.method, nets, self.images, self.labels, self.recipe, steps,
            self.batch_size, self.seed, [clock], self.image_size,
        )  # fmt: skip
        return state.step


def _fabric(device: torch.device, precision: Precision) -> Fabric:
    """One device, in a number format that it has."""
    Fabric = load_fabric()

    devices = [device.index or 0] if device.type == "cuda" else 1
    number_format = choose_precision(precision, device).fabric
    return Fabric(accelerator=device.type, devices=devices, precision=number_format)
