"""Why contrastive learning needs augmentation: four learners on the same images, and what their neurons became.

Wen & Li 2021, Toward Understanding the Feature Learning Process of Self-supervised Contrastive Learning
(https://arxiv.org/abs/2105.15134). `docs/studies/feature-decoupling.md` says what is the paper's and what is ours.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from likewise.counts import amount
from likewise.evaluation.metrics.threads import threads_for
from likewise.randomness import generator
from likewise.studies.inequalities import StudyClaim, StudyResult
from likewise.studies.sparse_coding import Augmentation, SparseCoding, no_augmentation, random_mask
from likewise.studies.threshold_neurons import Learning, Neurons, first_weights, learn


class Case(NamedTuple):
    """One of the four learners."""

    title: str
    augment: Augmentation
    thresholded: bool


CASES = {
    "mask_relu": Case("mask, ReLU neurons", random_mask, True),
    "mask_linear": Case("mask, linear neurons", random_mask, False),
    "none_relu": Case("no augmentation, ReLU neurons", no_augmentation, True),
    "none_linear": Case("no augmentation, linear neurons", no_augmentation, False),
}

FOUND = 0.8
"""A feature is found by a neuron whose |cosine| with it is above this."""

SEEDS = 3


class Moment(NamedTuple):
    """The neurons of a case after some steps; means over neurons."""

    step: int
    span: float
    purity: float


@dataclass(frozen=True)
class Measured:
    """What the neurons of one case became."""

    span: float
    """mean share of a neuron's squared length within the span of the sparse features; the rest is dense"""
    purity: float
    """mean |cosine| of a neuron with its best sparse feature"""
    found: float
    """share of the sparse features that some neuron has a |cosine| above 0.8 with"""
    same_sparse: float
    """mean cosine of the responses to two images that share the sparse part alone"""
    same_dense: float
    """mean cosine of the responses to two images that share the dense part alone"""
    best: list[float] = field(repr=False)
    """|cosine| of each neuron with its best sparse feature"""
    within: list[float] = field(repr=False)
    """|cosine| of each neuron with the span of all sparse features"""
    course: list[Moment] = field(repr=False)
    """over training"""


@dataclass(frozen=True)
class Decoupling(StudyResult):
    """What the study found."""

    data: SparseCoding
    learning: Learning
    seeds: list[int]
    cases: dict[str, list[Measured]]
    """for each case its outcome with each seed"""
    seconds: float

    @property
    def claims(self) -> list[StudyClaim]:
        """The inequalities."""
        return claims(self.cases)

    @property
    def sentence(self) -> str:
        """What came out, in words."""
        return verdict(self)

    def measurements(self) -> dict[str, Any]:
        """What was simulated and measured, as plain JSON types."""
        cases: dict[str, list[dict[str, Any]]] = {}
        for name, outcomes in self.cases.items():
            cases[name] = [_json(outcome) for outcome in outcomes]
        return {
            "data": asdict(self.data),
            "learning": asdict(self.learning),
            "seeds": self.seeds,
            "cases": cases,
        }


def run(
    seed: int = 0,
    seeds: int = SEEDS,
    data: SparseCoding | None = None,
    learning: Learning | None = None,
    cases: Mapping[str, Case] = CASES,
) -> Decoupling:
    """Train the four cases with several seeds, and measure their neurons.

    Args:
        seed: the first of the seeds.
        seeds: how many.
        data: how images are made; None takes the defaults.
        learning: sizes and rates; None takes the defaults.
        cases: the learners.
    """
    data, learning = data or SparseCoding(), learning or Learning()
    started, chosen = time.perf_counter(), list(range(seed, seed + seeds))
    # Products of a hundred rows: threads would wait for each other, and could change last digits.
    with threads_for(0):
        outcomes = [simulate(each, data, learning, cases) for each in chosen]
    by_case = {}
    for name in cases:
        by_case[name] = [outcome[name] for outcome in outcomes]
    return Decoupling(data, learning, chosen, by_case, time.perf_counter() - started)


def simulate(
    seed: int, data: SparseCoding, learning: Learning, cases: Mapping[str, Case]
) -> dict[str, Measured]:
    """One seed: all cases begin with the same weights and see the same images."""

    def rng(stream: str) -> Generator:
        return generator("feature-decoupling", seed, stream)

    dictionary = data.dictionary(rng("dictionary"))
    start = first_weights(data, learning, rng("weights"))
    layers = {name: Neurons(start, case.thresholded) for name, case in cases.items()}
    courses: dict[str, list[Moment]] = {name: [] for name in cases}
    every = max(learning.steps // 40, 1)

    def observe(step: int) -> None:
        if step % every == 0 or step == learning.steps:
            for name, layer in layers.items():
                cosines = alignment(layer.weights.detach(), dictionary)
                courses[name].append(Moment(step, span(cosines), purity(cosines)))

    arms = [(case.augment, layers[name]) for name, case in cases.items()]
    learn(data, dictionary, arms, learning, rng("images"), observe)
    return {
        name: measure(layer, dictionary, data, learning.threshold, rng("test"), courses[name])
        for name, layer in layers.items()
    }


@torch.no_grad()
def measure(
    layer: Neurons,
    dictionary: Tensor,
    data: SparseCoding,
    threshold: float,
    draw: Generator,
    course: list[Moment],
) -> Measured:
    """Where the neurons point, and what their responses to new, unmasked images depend on."""
    cosines = alignment(layer.weights, dictionary)
    rows = 1000
    sparse, other_sparse = (data.sparse(rows, draw) @ dictionary.T for _ in range(2))  # [N, P] each
    dense, other_dense = (data.dense(rows, draw) for _ in range(2))
    response = layer(sparse + dense, threshold)  # [N, H]
    same_sparse = layer(sparse + other_dense, threshold)
    same_dense = layer(other_sparse + dense, threshold)
    best = cosines.amax(dim=1)
    is_found = cosines.amax(dim=0) > FOUND
    return Measured(
        span=span(cosines),
        purity=purity(cosines),
        found=float(is_found.float().mean()),
        same_sparse=float(F.cosine_similarity(response, same_sparse).mean()),
        same_dense=float(F.cosine_similarity(response, same_dense).mean()),
        best=best.tolist(),
        within=cosines.square().sum(dim=1).sqrt().tolist(),
        course=course,
    )


def alignment(weights: Tensor, dictionary: Tensor) -> Tensor:
    """|cosine| of each neuron [H, P] with each feature [P, F], as [H, F]."""
    return (F.normalize(weights, dim=1) @ dictionary).abs()


def span(cosines: Tensor) -> float:
    """Mean over neurons [H, F] of the squared length within the features' span; by chance F / P."""
    return float(cosines.square().sum(dim=1).mean())


def purity(cosines: Tensor) -> float:
    """Mean over neurons [H, F] of the largest cosine."""
    return float(cosines.amax(dim=1).mean())


def claims(cases: Mapping[str, Sequence[Measured]]) -> list[StudyClaim]:
    """The paper's picture as inequalities, each for every seed."""
    mask, mixed, none = cases["mask_relu"], cases["mask_linear"], cases["none_relu"]
    return [
        StudyClaim(
            "with the mask, ReLU neurons find the sparse features: share found",
            0.9,
            [each.found for each in mask],
        ),
        StudyClaim(
            "without it they stay dense: share of squared length outside the sparse features' span",
            0.5,
            [1 - each.span for each in none],
        ),
        StudyClaim(
            "the mask is what brings ReLU neurons into that span: share within it, with less without",
            0.4,
            [one.span - other.span for one, other in zip(mask, none, strict=True)],
        ),
        StudyClaim(
            "ReLU is what makes them single features: |cosine| with the best one, ReLU less linear",
            0.2,
            [one.purity - other.purity for one, other in zip(mask, mixed, strict=True)],
        ),
        StudyClaim(
            "with the mask, responses follow the sparse part: similarity with it shared - with the dense part shared",
            0.0,
            [each.same_sparse - each.same_dense for each in mask],
        ),
        StudyClaim(
            "without it, responses follow the dense part: similarity with it shared - with the sparse part shared",
            0.0,
            [each.same_dense - each.same_sparse for each in none],
        ),
    ]


def verdict(found: Decoupling) -> str:
    """One sentence with the figures, held or not."""
    mask, none, seeds = found.cases["mask_relu"], found.cases["none_relu"], len(found.seeds)
    broken = [claim.says.partition(":")[0] for claim in found.claims if not claim.held]
    if broken:
        head = f"{len(broken)} of {amount(len(found.claims), 'inequality', 'inequalities')} fail ({'; '.join(broken)})"
    else:
        head = f"The paper's picture holds for {'the one seed' if seeds == 1 else f'each of {seeds} seeds'}"
    features = found.data.features
    least = round(min(each.found for each in mask) * features)
    most = round(max(each.found for each in none) * features)
    return (
        f"{head}: with the mask, ReLU neurons found {least} of the {features} sparse features in the worst seed; "
        f"without augmentation {most} in the best, and {100 * min(1 - each.span for each in none):.0f}% or more of "
        f"what they learned is dense."
    )


def _json(measured: Measured) -> dict[str, Any]:
    content = asdict(measured)
    content["course"] = [moment._asdict() for moment in measured.course]
    return content
