"""SupCon and cross-entropy on all labels: a linear classifier, the two losses, corrupted images and learning rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from gpu import scores
from gpu.cifar import Cifar, Split
from likewise.evaluation.corruptions import KINDS, RandomFields, corrupt
from likewise.methods import Method
from likewise.methods.cross_entropy import CrossEntropy
from likewise.methods.supcon import SupCon
from likewise.views.view_policy import ViewPolicy

RATES = (0.2, 1.0, 5.0)
"""factors of the learning rate"""
SEVERITY = 3
"""of corruptions, 1 to 5"""
ROWS = 2500
"""images corrupted at a time"""


@dataclass(frozen=True)
class Arm:
    """A method, how it is trained, and what is asked of it afterwards."""

    name: str
    method: Method
    rate: float = 1.0
    """factor of the recipe's learning rate"""
    length: float = 1.0
    """of the run, in runs of ``support``"""
    is_corrupted: bool = False
    """whether it is tried on corrupted images too"""


def arms(part: str, views: ViewPolicy) -> list[Arm]:
    """Those that a part of the run compares."""
    if part == "supcon":
        # Each by the views of the authors' own run: smaller crops slow both down, cross-entropy most.
        return [Arm("SupCon", SupCon(), length=4), Arm("cross-entropy", CrossEntropy(), length=4)]
    supcon, cross_entropy = SupCon(views=views), CrossEntropy(views=views)
    if part == "out-or-in":
        return [Arm("L_out", supcon), Arm("L_in", replace(supcon, kind="in"))]
    both: list[Arm] = []
    for rate in RATES:
        for name, method in (("SupCon", supcon), ("cross-entropy", cross_entropy)):
            both.append(Arm(name, method, rate, 0.5, is_corrupted=rate == 1))
    return both


def accuracies(encoder: nn.Module, arm: Arm, data: Cifar) -> Mapping[str, float]:
    """Of a linear classifier on test images, and the mean over corruptions of them."""
    learned = data.everything()
    asked = [data.test, *(corruptions(data.test) if arm.is_corrupted else [])]
    queries = [scores.features(encoder, part.images) for part in asked]
    bank = scores.features(encoder, learned.images)
    predicted = scores.linear(bank, learned.labels, torch.cat(queries)).split(len(data.test))
    shares = [scores.share(each, data.test.labels) for each in predicted]
    found = {"linear": shares[0]}
    if arm.is_corrupted:
        found["corrupted"] = round(sum(shares[1:]) / len(shares[1:]), 4)
    return found


@torch.no_grad()
def corruptions(test: Split) -> list[Split]:
    """The test images in each of the fifteen kinds."""
    fields = RandomFields.of([str(place) for place in range(len(test))], 0, test.images.device)
    made: list[Split] = []
    for kind in KINDS:
        parts = []
        for images, keys in zip(test.images.split(ROWS), fields.keys.split(ROWS), strict=True):
            spoilt = corrupt(images.float() / 255, kind, SEVERITY, RandomFields(keys))
            parts.append(spoilt.mul(255).round().byte())
        made.append(Split(torch.cat(parts), test.labels))
    return made
