"""Fine-tuning the last blocks of an encoder on cached maps: the frozen blocks before them are computed once a view."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from likewise.adaptation.adapt import Adapted
from likewise.adaptation.frozen_stages import SplitEncoder
from likewise.data.images import Images
from likewise.encoders import Encoder
from likewise.evaluation.features import eval_mode
from likewise.randomness import BatchRNG, generator
from likewise.training.memory_layout import channels_last
from likewise.views.policies import weak
from likewise.views.view_policy import ViewPolicy

LEARNING_RATE = 5e-4
"""of AdamW, for a batch of 32"""

WARM_UP = 0.1
"""share of the steps in which the rate rises"""

WEIGHT_DECAY = 0.01

CHUNK = 64
"""images through the frozen blocks at a time"""


@torch.no_grad()
def cache_views(
    split: SplitEncoder,
    images: Images,
    rows: Tensor,
    views: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    policy: ViewPolicy | None = None,
) -> Tensor:
    """Maps of random views of some images before the blocks that learn, float16 [V, M, D, h, w] on the CPU.

    Args:
        split: the encoder in two parts.
        images: where the pixels are.
        rows: int64 [M], positions in ``images``.
        views: V, of each image.
        seed: of the views.
        device: where to compute.
        policy: augmentation; None: crop and flip.
    """
    policy = policy or weak(images.size)
    first = split.first.to(device)
    made = []
    with eval_mode(first):
        for view in range(views):
            for number, chunk in enumerate(rows.split(CHUNK)):
                pixels = images.read(chunk).map(lambda part: part.to(device))
                random = BatchRNG((seed, view, number, "view"), len(chunk))
                made.append(first(policy(pixels, random).pixels).half().cpu())
    return torch.cat(made).unflatten(0, (views, len(rows)))


def fine_tune_last(
    encoder: Encoder,
    split: SplitEncoder,
    maps: Tensor,
    targets: Tensor,
    head: nn.Linear,
    *,
    steps: int,
    batch_size: int = 32,
    learning_rate: float = LEARNING_RATE,
    seed: int = 0,
    device: torch.device | str = "cpu",
    time_limit: float = math.inf,
) -> Adapted:
    """Fine-tune the second part of an encoder on cached maps by cross-entropy, with AdamW and a cosine.

    As `adapt` does with ``last:N``, but a step costs the last blocks alone, and each image has as many different views
    as were cached. Batch normalisation keeps its statistics.

    Args:
        encoder: the whole.
        split: its two parts.
        maps: float16 [V, M, D, h, w], of `cache_views`.
        targets: int64 [M], the class of each image; or float [M, K], probabilities of the classes.
        head: the first classifier, which is copied.
        steps: optimiser steps.
        batch_size: images of a step.
        learning_rate: at its highest.
        seed: of the order of images and of the choice of views.
        device: where to compute.
        time_limit: seconds after which training stops.
    """
    began = time.perf_counter()
    rest = copy.deepcopy(split.rest).to(device).eval().requires_grad_(True)
    head = copy.deepcopy(head).to(device).requires_grad_(True)
    channels_last(rest)
    parameters = [*rest.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    batches = _batches(maps, targets, batch_size, seed)
    done = 0
    while done < steps and time.perf_counter() - began < time_limit:
        batch, wanted = next(batches)
        inputs = batch.to(device).float().contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad()
        F.cross_entropy(head(rest(inputs)), wanted.to(device)).backward()
        optimizer.step()
        schedule.step()
        done += 1
    whole = split.whole(encoder, rest.requires_grad_(False))
    head = head.requires_grad_(False).cpu()
    return Adapted(whole, head, done, time.perf_counter() - began)


def _batches(
    maps: Tensor, targets: Tensor, batch_size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Maps [B, D, h, w] of a random view of each image, and their targets; all images before any comes again."""
    random = generator(seed, "cached views")
    waiting = torch.zeros(0, dtype=torch.int64)
    while True:
        while len(waiting) < batch_size:
            waiting = torch.cat([waiting, torch.randperm(len(targets), generator=random)])
        rows, waiting = waiting[:batch_size], waiting[batch_size:]
        view = torch.randint(len(maps), (batch_size,), generator=random)
        yield maps[view, rows], targets[rows]


def _rate(step: int, steps: int) -> float:
    """The share of the highest rate: a linear rise, times a cosine."""
    rise = min(1.0, (step + 1) / max(1.0, WARM_UP * steps))
    return rise * (1 + math.cos(math.pi * step / steps)) / 2
