"""Does a classifier learn more from good and bad fakes together? UGAN and its halves on points of a plane.

The method is reconstructed from its parents, for the body of its paper (Li et al. 2019) could not be read.
`docs/studies/ugan-toy.md` says what is whose.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor

from likewise.evaluation.metrics.threads import threads_for
from likewise.methods import Nets, Progress
from likewise.studies.feature_decoupling import StudyClaim
from likewise.studies.plane_games import Plane, PlanePoints, PlaneUGAN, error, learn

HALVES: dict[str, dict[str, float]] = {
    "UGAN": {},
    "good fakes alone": {"bad_weight": 0.0},
    "bad fakes alone": {"good_weight": 0.0, "discriminator_confidence_weight": 0.0},
    "labels alone": {
        "bad_weight": 0.0,
        "good_weight": 0.0,
        "discriminator_confidence_weight": 0.0,
        "entropy_weight": 0.0,
        "class_balance_weight": 0.0,
    },
}
"""What each arm leaves out."""

LABELS = 3
"""labels a class at which all arms are compared"""
OTHER_LABELS = (2, 4, 8)
"""labels a class over which an arm's error is asked to stay the same"""
SEEDS = 5
GRID = 61
"""places along a side at which the classifier is asked for the picture"""


class PlanePicture(NamedTuple):
    """What one arm made of the first seed's points."""

    points: Tensor
    """float [N, 2]"""
    classes: Tensor
    """int64 [N], of the training points"""
    shown: Tensor
    """int64 [N], -1 where no label was shown"""
    regions: Tensor
    """int64 [GRID, GRID], the class of each place, rows from below"""
    good: Tensor | None
    """float [M, 2], where the arm makes good fakes"""
    good_classes: Tensor | None
    bad: Tensor | None


@dataclass(frozen=True)
class Toy:
    """What the study found."""

    plane: Plane
    rule: PlaneUGAN
    seeds: list[int]
    errors: dict[str, dict[int, list[float]]]
    """for each arm, for each number of labels a class: the error with each seed"""
    pictures: dict[str, PlanePicture]
    seconds: float

    @property
    def claims(self) -> list[StudyClaim]:
        """The inequalities."""
        return claims(self.errors)

    @property
    def held(self) -> bool:
        """Whether every inequality holds."""
        return all(claim.held for claim in self.claims)

    @property
    def sentence(self) -> str:
        """What came out, in words."""
        broken = sum(not claim.held for claim in self.claims)
        head = "All inequalities hold" if not broken else f"{broken} of {len(self.claims)} inequalities fail"
        means = ", ".join(f"{name} {fmean(by_labels[LABELS]):.1%}" for name, by_labels in self.errors.items())
        return f"{head}. Mean error of {len(self.seeds)} seeds with {LABELS} labels a class: {means}."

    def to_json(self) -> dict[str, Any]:
        """Everything but the pictures, as JSON has it."""
        return {
            "plane": asdict(self.plane),
            "method": asdict(self.rule),
            "seeds": self.seeds,
            "errors": self.errors,
            "claims": [{**claim._asdict(), "held": claim.held} for claim in self.claims],
            "held": self.held,
            "sentence": self.sentence,
            "seconds": self.seconds,
        }


def run(seed: int = 0, seeds: int = SEEDS, plane: Plane | None = None) -> Toy:
    """Train all arms with several seeds; arms of one seed see the same points and labels.

    Args:
        seed: the first of the seeds.
        seeds: how many.
        plane: points and length; None takes the defaults.
    """
    plane, chosen, started = plane or Plane(), list(range(seed, seed + seeds)), time.perf_counter()
    rule = PlaneUGAN(noise=plane.noise, classes_per_batch=plane.classes, images_per_class=LABELS)
    errors: dict[str, dict[int, list[float]]] = {name: {} for name in HALVES}
    pictures: dict[str, PlanePicture] = {}
    with threads_for(0):  # products of a hundred rows: threads would wait for each other
        for name, without in HALVES.items():
            arm = replace(rule, **without)  # type: ignore[arg-type]
            robust = OTHER_LABELS if name in ("UGAN", "bad fakes alone") else ()
            for labels in (LABELS, *robust):
                errors[name][labels] = []
                for each in chosen:
                    nets, points, shown = learn(plane, arm, labels, each)
                    errors[name][labels].append(error(plane, arm, nets, each))
                    if labels == LABELS and each == seed:
                        pictures[name] = draw(arm, nets, points, shown)
    return Toy(plane, rule, chosen, errors, pictures, time.perf_counter() - started)


@torch.no_grad()
def draw(rule: PlaneUGAN, nets: Nets, points: PlanePoints, shown: Tensor, fakes: int = 200) -> PlanePicture:
    """Ask the classifier everywhere, and both generators for a few fakes."""
    along = torch.linspace(0, 1, GRID)
    places = torch.stack(torch.meshgrid(along, along, indexing="xy"), dim=-1).flatten(0, 1)
    regions = rule.classify(nets, places[..., None, None]).argmax(dim=1).unflatten(0, (GRID, GRID))
    batch, last = points.as_batch(fakes), Progress(0, 1)
    good, classes = rule.good_fakes(nets, batch, last) if rule.good else (None, None)
    bad = rule.bad_fakes(nets, batch, last).flatten(1) if rule.bad else None
    return PlanePicture(
        points.places, points.classes, shown, regions, None if good is None else good.flatten(1), classes, bad
    )


def claims(errors: Mapping[str, Mapping[int, Sequence[float]]]) -> list[StudyClaim]:
    """That both kinds together are no worse than the better one, that fakes help, and that few labels do."""
    mean = {name: {labels: fmean(each) for labels, each in by.items()} for name, by in errors.items()}
    ours, better = mean["UGAN"][LABELS], min(mean[name][LABELS] for name in ("good fakes alone", "bad fakes alone"))
    spreads = [_spread([mean[name][labels] for labels in OTHER_LABELS]) for name in ("bad fakes alone", "UGAN")]
    return [
        StudyClaim("U1: mean error of the better half, less UGAN's", -0.01, [better - ours]),
        StudyClaim("U2: mean error of labels alone, less UGAN's", 0.05, [mean["labels alone"][LABELS] - ours]),
        StudyClaim(
            "U3: change of the mean error from 2 to 8 labels a class, bad fakes alone, less UGAN's",
            0.0,
            [spreads[0] - spreads[1]],
        ),
    ]


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values)
