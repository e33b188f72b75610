"""The classifier that a run leaves: the method's own, or a head on its encoder; calibrated on held-out labels."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from likewise.classification.classifier import Classifier
from likewise.classification.head import FittedHead, fit_head
from likewise.classification.reference import MAX_REFERENCE, Reference
from likewise.classification.temperature import fit_temperature
from likewise.data.batch import UNLABELLED
from likewise.data.images import Images
from likewise.evaluation.features import EvalView, extract_readable
from likewise.methods import Method, Nets, method_name
from likewise.randomness import generator


class LabelledImages(NamedTuple):
    """N images and what is known of them."""

    images: Images
    labels: Tensor
    """int64 [N], -1 where there is none"""
    groups: Tensor | None = None
    """int64 [N], which images belong together, where that is known"""


class Calibrated(NamedTuple):
    """A classifier, and what its predictions are judged by."""

    classifier: Classifier
    reference: Reference


def calibrated_classifier(
    method: Method,
    nets: Nets,
    train: LabelledImages,
    validation: LabelledImages | None,
    class_names: tuple[str, ...],
    view: EvalView,
    seed: int,
    device: torch.device,
) -> Calibrated | None:
    """A classifier from trained networks, its temperature fitted on labels that training did not see.

    The head is the method's own, or logistic regression on features of the visible labels. Held out are the validation
    labels, as many as there are visible ones at most, so that a run with few visible labels does not profit from
    more. Where the encoder learned without labels, so are the visible labels, out of fold. Out-of-fold predictions on
    features that were trained with those very labels would be too good, so they do not count then.

    Args:
        method: which networks classify, if any.
        nets: trained.
        train: the training images with the labels that training saw.
        validation: images that training did not see, or None.
        class_names: of all classes.
        view: the encoder's input from stored pixels.
        seed: of the folds, and of the images of the reference.
        device: where to compute.

    Returns:
        None where training saw labels of fewer than two classes, or could read images of fewer.
    """
    if _classes(train.labels) < 2:
        return None
    networks = method.classifier(nets)
    encoder = nets.encoder if networks is None else networks[0]
    rows = _learned_from(train.labels, seed, with_all_labelled=networks is None)
    features, rows = extract_readable(encoder, train.images, rows, view, device=device)
    labels = train.labels[rows]
    if networks is None and _classes(labels) < 2:  # the images of the others could not be read
        return None
    held_out = _HeldOut()
    if networks is None:
        groups = None if train.groups is None else train.groups[rows]
        fitted = fit_head(features, labels, len(class_names), seed, groups)
        head = fitted.head
        if method.card.needs == "no labels":
            held_out.add(fitted.out_of_fold_logits, labels, "out of fold")
    else:
        fitted, head = None, copy.deepcopy(networks[1]).cpu()
    if validation is not None:
        own = _validation_rows(validation.labels, int((train.labels != UNLABELLED).sum()), seed)
        if len(own):
            found = extract_readable(encoder, validation.images, own, view, device=device)
            logits = head(found.vectors).detach()
            held_out.add(logits, validation.labels[found.positions], "validation split")
    calibration = held_out.both(len(class_names))
    temperature = fit_temperature(*calibration)
    protocol = _protocol(method, fitted, train.labels, held_out)
    reference = Reference.of(features, *calibration, temperature, protocol, seed)
    return Calibrated(Classifier(encoder, head, temperature, class_names).eval(), reference)


def _classes(labels: Tensor) -> int:
    """How many classes have a label."""
    return len(labels[labels != UNLABELLED].unique())


class _HeldOut:
    """Logits of labelled images that were held out, from one source or two."""

    def __init__(self) -> None:
        self.logits: list[Tensor] = []
        self.labels: list[Tensor] = []
        self.counts: dict[str, int] = {}

    def add(self, logits: Tensor, labels: Tensor, source: str) -> None:
        """Take in the rows that have a label and were held out."""
        usable = (labels != UNLABELLED) & ~logits.isnan().any(dim=1)
        self.logits.append(logits[usable])
        self.labels.append(labels[usable])
        self.counts[source] = int(usable.sum())

    def both(self, classes: int) -> tuple[Tensor, Tensor]:
        """Float [N, K] and int64 [N]."""
        no_logits, no_labels = torch.zeros(0, classes), torch.zeros(0, dtype=torch.int64)
        logits = torch.cat([no_logits, *self.logits])
        return logits, torch.cat([no_labels, *self.labels])


def _protocol(
    method: Method, fitted: FittedHead | None, labels: Tensor, held_out: _HeldOut
) -> dict[str, Any]:
    how = (
        {"head": "trained with the encoder"}
        if fitted is None
        else {"head": "logistic regression", **fitted.protocol}
    )
    return {
        **how,
        "method": method_name(method),
        "labels": int((labels != UNLABELLED).sum()),
        "held_out": held_out.counts,
    }


def _learned_from(labels: Tensor, seed: int, with_all_labelled: bool) -> Tensor:
    """Positions of the images whose features are needed: the labelled ones if requested, and random others."""
    order = torch.randperm(len(labels), generator=generator(seed, "learned from"))
    if not with_all_labelled:
        return order[:MAX_REFERENCE].sort().values
    is_labelled = labels[order] != UNLABELLED
    others = order[~is_labelled][: max(MAX_REFERENCE - int(is_labelled.sum()), 0)]
    return torch.cat([order[is_labelled], others]).sort().values


def _validation_rows(labels: Tensor, limit: int, seed: int) -> Tensor:
    """Positions of labelled images, so many at most."""
    known = (labels != UNLABELLED).nonzero().flatten()
    order = torch.randperm(len(known), generator=generator(seed, "held-out labels"))
    return known[order[:limit]].sort().values
