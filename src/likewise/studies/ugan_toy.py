"""Whether a classifier learns more from good and bad fakes together: UGAN and its halves on points of a plane.

The method is reconstructed from its parent papers; the body of its own paper (Li et al. 2019) was not available.
`docs/studies/ugan-toy.md` lists the sources.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor

from likewise.counts import amount
from likewise.evaluation.metrics.threads import threads_for
from likewise.methods import Nets, Progress
from likewise.methods.method import classify
from likewise.studies.inequalities import StudyClaim, StudyResult
from likewise.studies.plane_games import Plane, PlanePoints, PlaneUGAN, error, learn

HALVES: dict[str, dict[str, float]] = {
    "UGAN": {},
    "good fakes only": {"bad_weight": 0.0},
    "bad fakes only": {"good_weight": 0.0, "discriminator_confidence_weight": 0.0},
    "labels only": {
        "bad_weight": 0.0,
        "good_weight": 0.0,
        "discriminator_confidence_weight": 0.0,
        "entropy_weight": 0.0,
        "class_balance_weight": 0.0,
    },
}
"""the weights that each arm sets to 0"""

LABELS = 3
"""labels a class at which all arms are compared"""
OTHER_LABELS = (2, 4, 8)
"""labels a class over which an arm's error should stay the same"""
SEEDS = 5
GRID = 61
"""points along each side of the picture's grid"""


class PlanePicture(NamedTuple):
    """One arm's result on the first seed's points."""

    points: Tensor
    """float [N, 2]"""
    classes: Tensor
    """int64 [N], of the training points"""
    visible_labels: Tensor
    """int64 [N], -1 where the label is hidden"""
    regions: Tensor
    """int64 [GRID, GRID], the predicted class of each grid point, rows from below"""
    good: Tensor | None
    """float [M, 2], where the arm makes good fakes"""
    good_classes: Tensor | None
    bad: Tensor | None


@dataclass(frozen=True)
class Toy(StudyResult):
    """The study's results."""

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
    def sentence(self) -> str:
        """The result in words."""
        broken = sum(not claim.held for claim in self.claims)
        head = (
            "All inequalities hold"
            if not broken
            else f"{broken} of {amount(len(self.claims), 'inequality', 'inequalities')} fail"
        )
        means = ", ".join(
            f"{name} {fmean(by_labels[LABELS]):.1%}" for name, by_labels in self.errors.items()
        )
        return f"{head}. Mean error of {amount(len(self.seeds), 'seed')} with {LABELS} labels a class: {means}."

    def measurements(self) -> dict[str, Any]:
        """Everything but the pictures, as plain JSON types."""
        return {
            "plane": asdict(self.plane),
            "method": asdict(self.rule),
            "seeds": self.seeds,
            "errors": self.errors,
        }


def run(seed: int = 0, seeds: int = SEEDS, plane: Plane | None = None) -> Toy:
    """Train all arms with several seeds; arms of one seed see the same points and labels.

    Args:
        seed: the first of the seeds.
        seeds: number of seeds.
        plane: points and length; None takes the defaults.
    """
    started = time.perf_counter()
    plane = plane or Plane()
    chosen = list(range(seed, seed + seeds))
    rule = PlaneUGAN(noise=plane.noise, classes_per_batch=plane.classes, images_per_class=LABELS)
    errors: dict[str, dict[int, list[float]]] = {name: {} for name in HALVES}
    pictures: dict[str, PlanePicture] = {}
    with threads_for(0):  # products of a hundred rows: threads would wait for each other
        for name, without in HALVES.items():
            arm = replace(rule, **without)  # type: ignore[arg-type]
            robust = OTHER_LABELS if name in ("UGAN", "bad fakes only") else ()
            for labels in (LABELS, *robust):
                errors[name][labels] = []
                for arm_seed in chosen:
                    nets, points, visible = learn(plane, arm, labels, arm_seed)
                    errors[name][labels].append(error(plane, arm, nets, arm_seed))
                    if labels == LABELS and arm_seed == seed:
                        pictures[name] = draw(arm, nets, points, visible)
    return Toy(plane, rule, chosen, errors, pictures, time.perf_counter() - started)


@torch.no_grad()
def draw(
    rule: PlaneUGAN, nets: Nets, points: PlanePoints, visible_labels: Tensor, fakes: int = 200
) -> PlanePicture:
    """The classifier's predictions on a grid, and a few fakes of both generators."""
    along = torch.linspace(0, 1, GRID)
    x, y = torch.meshgrid(along, along, indexing="xy")
    grid = torch.stack([x, y], dim=-1).flatten(0, 1)  # [GRID * GRID, 2]
    predictions = classify(rule, nets, grid[..., None, None]).argmax(dim=1)
    regions = predictions.unflatten(0, (GRID, GRID))
    batch, last = points.as_batch(fakes), Progress(0, 1)
    good, classes, bad = None, None, None
    if rule.good:
        images, classes = rule.good_fakes(nets, batch, last)
        good = images.flatten(1)
    if rule.bad:
        bad = rule.bad_fakes(nets, batch, last).flatten(1)
    return PlanePicture(
        points.coordinates, points.classes, visible_labels, regions, good, classes, bad
    )


def claims(errors: Mapping[str, Mapping[int, Sequence[float]]]) -> list[StudyClaim]:
    """Both kinds of fakes are no worse than the better one, fakes help, and a few labels are enough."""

    def mean(name: str, labels: int = LABELS) -> float:
        return fmean(errors[name][labels])

    def spread(name: str) -> float:
        means = [mean(name, labels) for labels in OTHER_LABELS]
        return max(means) - min(means)

    ours, better_half = mean("UGAN"), min(mean("good fakes only"), mean("bad fakes only"))
    return [
        StudyClaim("U1: mean error, better half - UGAN", -0.01, [better_half - ours]),
        StudyClaim("U2: mean error, labels only - UGAN", 0.05, [mean("labels only") - ours]),
        StudyClaim(
            "U3: change of the mean error from 2 to 8 labels a class, bad fakes only - UGAN",
            0.0,
            [spread("bad fakes only") - spread("UGAN")],
        ),
    ]
