"""What claims measure of pseudo-labels: those that training learned from, compared with the true labels afterwards."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from likewise.claims.measures import TrainedArm
from likewise.data.batch import Batch
from likewise.data.loader import Loader
from likewise.losses import pseudo_label_graph
from likewise.methods import Method, Nets, Progress
from likewise.methods.method import Step

BATCHES = 20
"""how many batches are measured: those that would have come next in training"""


@dataclass(frozen=True)
class PseudoLabels:
    """CoMatch's pseudo-labels: ``pseudo_labels_aligned``, ``pseudo_labels_smoothed`` and ``edge_precision``.

    The first two are shares of training images whose pseudo-label names the true class, before and after smoothing by
    similar images.
    """

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Shares, 0 to 1."""
        prepared = trained.prepared
        loader = prepared.loader()
        first, labels = prepared.steps(loader), prepared.train.labels
        found = pseudo_label_quality(
            prepared.method, trained.nets, loader, labels, first, BATCHES, trained.device
        )
        return {
            "pseudo_labels_aligned": found.aligned,
            "pseudo_labels_smoothed": found.smoothed,
            "edge_precision": found.edge_precision,
        }


@dataclass(frozen=True)
class Entropy:
    """The entropy of PAWS' mean sharpened prediction in a batch, in nats, ln(classes) at most: ``entropy``."""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """The mean over batches, which is at most the entropy of the mean over all of them."""
        prepared = trained.prepared
        loader = prepared.loader()
        first = prepared.steps(loader)
        steps = next_steps(prepared.method, trained.nets, loader, first, BATCHES, trained.device)
        return {"entropy": statistics.mean(float(step.metrics["entropy"]) for _, step in steps)}


class PseudoLabelQuality(NamedTuple):
    """Of CoMatch's pseudo-labels over some batches."""

    aligned: float
    """share of images whose pseudo-label names their true class, after distribution alignment"""
    smoothed: float
    """the same of the pseudo-labels that are learned: aligned, then smoothed by those of similar images"""
    edge_precision: float
    """share of the graph's edges between two different images that join images of one class; 0 without edges"""
    edges: int
    """how many such edges there were, each direction counted"""


@torch.no_grad()
def next_steps(
    method: Method, nets: Nets, loader: Loader, first: int, count: int, device: torch.device | str
) -> Iterator[tuple[Batch, Step]]:
    """The batches of the next training steps with what each step computes; the networks stay as they are.

    Batch normalisation uses the batch, as in training.

    Args:
        method: the method.
        nets: its networks, of which a copy is used.
        loader: of the training images, with the labels that training may see.
        first: the step after the last of training.
        count: how many steps.
        device: where the networks are.
    """
    copied = copy.deepcopy(nets).train()
    for number in range(first, first + count):
        batch = loader.batch(number).to(device)
        yield batch, method.step(copied, batch, Progress(number, number + 1, loader.seed))


def pseudo_label_quality(
    method: Method,
    nets: Nets,
    loader: Loader,
    labels: Tensor,
    first: int,
    count: int = BATCHES,
    device: torch.device | str = "cpu",
) -> PseudoLabelQuality:
    """The quality of CoMatch's pseudo-labels over ``count`` batches after training; see `next_steps`.

    Args:
        method: CoMatch, in either form.
        nets: its networks, after training.
        loader: the one that training used.
        labels: int64 [N], the training images' true labels.
        first: the step after the last of training.
        count: how many batches.
        device: where the networks are.
    """
    threshold: float = method.graph_threshold  # type: ignore[attr-defined]
    images = aligned_right = smoothed_right = same_class = edges = 0
    for batch, step in next_steps(method, nets, loader, first, count, device):
        true = labels[batch.indices.cpu()]  # [B]
        aligned = step.memory_updates["probabilities"][: batch.size].cpu()  # [B, classes]
        smoothed = step.memory_updates["targets"][: batch.size].cpu()  # [B, classes]
        images += batch.size
        aligned_right += int((aligned.argmax(dim=1) == true).sum())
        smoothed_right += int((smoothed.argmax(dim=1) == true).sum())
        graph = pseudo_label_graph(smoothed, threshold).fill_diagonal_(0) > 0  # [B, B]
        same_class += int((graph & (true[:, None] == true)).sum())
        edges += int(graph.sum())
    return PseudoLabelQuality(
        aligned_right / images,
        smoothed_right / images,
        same_class / max(edges, 1),
        edges,
    )
