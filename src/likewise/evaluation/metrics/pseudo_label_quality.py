"""How good the guesses are from which a method without many labels learns, told by labels that training never saw."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from likewise.data.batch import Batch
from likewise.data.loader import Loader
from likewise.losses import agreement
from likewise.methods import Method, Nets, Progress
from likewise.methods.method import Step


class PseudoLabelQuality(NamedTuple):
    """Of CoMatch's guesses over some batches."""

    balanced: float
    """share of images whose balanced guess names their true class"""
    smoothed: float
    """the same of the guess that is learned: balanced, then smoothed by those of similar images"""
    edge_precision: float
    """share of the graph's edges between two different images that join images of one class; 0 without edges"""
    edges: int
    """how many such edges there were, each direction counted"""


@torch.no_grad()
def next_steps(
    method: Method, nets: Nets, loader: Loader, first: int, count: int, device: torch.device | str
) -> Iterator[tuple[Batch, Step]]:
    """What the next steps of a training would see, compute and remember; the networks stay as they are.

    Batch normalisation uses the batch, as in training.

    Args:
        method: the rule.
        nets: its networks, of which a copy is used.
        loader: of the training images, with the labels that training may see.
        first: the step after the last of training.
        count: how many steps.
        device: where the networks are.
    """
    kept = copy.deepcopy(nets).train()
    for number in range(first, first + count):
        batch = loader.batch(number).to(device)
        yield batch, method.step(kept, batch, Progress(number, number + 1, loader.seed))


def pseudo_label_quality(
    method: Method,
    nets: Nets,
    loader: Loader,
    labels: Tensor,
    first: int,
    count: int = 20,
    device: torch.device | str = "cpu",
) -> PseudoLabelQuality:
    """The quality of CoMatch's guesses over ``count`` batches after training; see `next_steps`.

    Args:
        method: CoMatch, in either form.
        nets: its networks, after training.
        loader: the one that training used.
        labels: int64 [N], the training images' true labels.
        first: the step after the last of training.
        count: how many batches.
        device: where the networks are.
    """
    edge: float = method.edge  # type: ignore[attr-defined]
    right, rows, concat, edges = [0, 0], 0, 0, 0
    for batch, step in next_steps(method, nets, loader, first, count, device):
        true = labels[batch.indices.cpu()]
        balanced, smoothed = (step.memory_updates[name][: batch.size].cpu() for name in ("guesses", "targets"))
        right = [
            so_far + int((guess.argmax(dim=1) == true).sum())
            for so_far, guess in zip(right, (balanced, smoothed), strict=True)
        ]
        rows += batch.size
        graph = agreement(smoothed, edge).fill_diagonal_(0) > 0
        concat += int((graph & (true[:, None] == true)).sum())
        edges += int(graph.sum())
    return PseudoLabelQuality(right[0] / rows, right[1] / rows, concat / max(edges, 1), edges)
