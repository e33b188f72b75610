"""What an advice tries, in which order, and with which share of the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from likewise.adaptation.frozen_stages import split_before_last
from likewise.advice.advice import Gain
from likewise.advice.arm import AdviceArm, ArmCard
from likewise.advice.cached_arms import (
    FEWEST_VIEWS,
    CachedViews,
    LastStagesArm,
    cached_view_count,
    last_half,
)
from likewise.advice.candidates import (
    Cost,
    StartingPoint,
    at_larger_size,
    cost_of,
    scratch_settings,
    several_stages,
    starting_point,
)
from likewise.advice.cross_validation import CrossValidation
from likewise.advice.features import cached_features
from likewise.advice.frozen import FrozenEncoder, frozen_arms, own_pretraining_arm
from likewise.advice.method_arms import (
    ensemble_arm,
    pretrained_on,
    semi_supervised_arms,
    step_seconds,
)
from likewise.advice.opened_data import LabelledData
from likewise.advice.trained_arms import (
    BACKWARD,
    BATCH,
    Bench,
    adapted_arms,
    full_step_seconds,
    planned_steps,
    scratch_arm,
    wanted_steps,
)
from likewise.advice.weighted_mean import weighted_mean
from likewise.advice.winner import eligible
from likewise.advice.worth import OWN_PRETRAINING, half_of, worth_of_labels
from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.encoders import EncoderSettings

LAST_STAGES_SHARE = 0.6
"""of the time that is left, for fine-tuning the last stages"""

SCRATCH_SHARE = 0.15
"""of the time that is left at most, for labels alone from scratch: they say what pretrained weights are worth, and
rarely win"""

OWN_SHARE = 0.12
"""of the time that is left at most, for pre-training on the images without a label"""

HALF_SHARE = 0.1
"""of the time that is left at most, for the worth of half of the labels"""

READING_SHARE = 5
"""as many times the time for reading all images must be left, for reading them once more at another size"""

FEWEST_UNLABELLED = 200
"""images without a label below which learning from them is not tried"""

OWN_STEPS = 100, 5000
"""fewest steps that are called pre-training, and most"""

SEMI_SUPERVISED_STEPS = 200
"""of a semi-supervised method, at least: fewer hardly make a pseudo-label"""


class Size(NamedTuple):
    """A pretrained encoder at one size of images, and what was tried on its frozen features."""

    start: StartingPoint
    arms: list[AdviceArm]


class Programme:
    """Arms in the order of what they are worth for their time.

    Args:
        data: images and labels.
        cross_validation: what measures the arms.
        start: the encoder with pretrained weights at the usual size, or None.
        device: where networks compute.
        seed: of weights and views.
        found_something: called once something can be saved.
        say: called with a line for each step.
    """

    def __init__(
        self,
        data: LabelledData,
        cross_validation: CrossValidation,
        start: StartingPoint | None,
        device: torch.device,
        seed: int,
        found_something: Callable[[], object],
        say: Callable[[str], None],
    ) -> None:
        self.data, self.cross_validation, self.start = data, cross_validation, start
        self.device, self.seed = device, seed
        self.found_something, self.say = found_something, say
        self.truth = data.labels[data.labelled]
        self.unlabelled = (data.labels == UNLABELLED).nonzero().flatten()
        self.label_gain: Gain | None = None

    def run(self) -> None:
        """Everything, as far as the time goes."""
        sizes: list[Size] = []
        if self.start is not None:
            sizes.append(self.try_frozen(self.start))
            self.found_something()
        if self.cross_validation.folds < 1:
            return
        if self.start is not None:
            larger = at_larger_size(self.start, self.data, self.left, self.seed)
            if larger is not None:
                sizes.append(self.try_frozen(larger, few=True))
                self.found_something()
            self.label_gain = self.worth_of_labels()
        if self.start is None or self.left > READING_SHARE * self.start.cost.decoding * len(
            self.data.labels
        ):
            self.try_training(sizes)

    def try_training(self, sizes: list[Size]) -> None:
        """Whatever trains an encoder: the last stages first, which win most for their time; then comparisons; then all.

        Args:
            sizes: the pretrained encoder at each size, with its arms on frozen features.
        """
        best = self.best_size(sizes) if sizes else None
        if best is not None:
            self.try_last_stages(best)
        settings, cost = self._with_cost(scratch_settings(self.data))
        images = self.data.images(settings.image_size)
        small = starting_point(images, settings, cost, self.seed)
        self.try_from_scratch(small)
        self.try_own_pretraining(small)
        if best is not None:
            self.try_adapted(best.start)
            self.try_semi_supervised(sizes[0].start)
        self.try_semi_supervised(small)
        self.cross_validation.finish()

    @property
    def left(self) -> float:
        """Seconds that may be spent on trying."""
        return self.cross_validation.clock.left - self.cross_validation.reserve

    def _with_cost(self, settings: EncoderSettings) -> tuple[EncoderSettings, Cost]:
        return settings, cost_of(self.data, settings, self.device)

    def _bench(self, steps: int) -> Bench:
        return Bench(self.data.classes, self.device, self.seed, steps)

    def try_frozen(self, start: StartingPoint, few: bool = False) -> Size:
        """Each image through the encoder once, then heads."""
        self.say(f"features of {amount(len(self.data.labels), 'image')}: {start.name}")
        encoder, settings = several_stages(start)
        vectors = cached_features(encoder, settings, start.images, self.device)
        frozen = FrozenEncoder(
            start.name, "pretrained", encoder, settings, vectors, start.encoder.width
        )
        arms = frozen_arms(frozen, self.data.classes, len(self.unlabelled), few)
        tried = self.cross_validation.try_all_folds(arms)
        groups = None if self.data.groups is None else self.data.groups[self.data.labelled]
        mean = weighted_mean(arms, tried, self.data.labels, groups)
        if mean is not None:
            self.cross_validation.try_all_folds([mean])
        return Size(start, [*arms])

    def worth_of_labels(self) -> Gain | None:
        """The best arm on frozen features, with half of the labels of each fold; None where that takes too long."""
        fold_of, labelled = self.cross_validation.fold_of, self.data.labelled
        best = max(
            eligible(self.cross_validation.tried),
            key=lambda each: float(each.scores(self.truth).sum()),
        )
        if sum(each.seconds for each in self.cross_validation.tried) > HALF_SHARE * self.left:
            return None  # the winner may need the heads of all others
        half = torch.zeros(len(self.truth), dtype=torch.bool)
        for fold in range(self.cross_validation.folds):
            held_out = fold_of == fold
            half_visible = half_of(self.data.labels, labelled[~held_out], self.seed)
            answers = self.cross_validation.answers(
                best.card.name, half_visible, labelled[held_out]
            )
            half[held_out] = answers.argmax(dim=1) == self.truth[held_out]
        known = fold_of >= 0
        groups = None if self.data.groups is None else self.data.groups[labelled][known]
        return worth_of_labels(best.correct(self.truth)[known], half[known], groups)

    def try_from_scratch(self, small: StartingPoint) -> None:
        """Labels alone: with pretrained weights at hand a comparison, without them the first choice."""
        share = SCRATCH_SHARE if self.start is not None else 1 / 2
        fits = self.cross_validation.folds + (0 if self.start is not None else 2)
        step = full_step_seconds(small.cost.forward)
        steps = planned_steps(len(self.truth), step, share * self.left / fits, scratch=True)
        self.cross_validation.try_all_folds([scratch_arm(small, self._bench(steps))])
        if self.start is None:
            self.found_something()

    def try_own_pretraining(self, small: StartingPoint) -> None:
        """SimCLR on the images without a visible label, once for all folds; then a head on its features."""
        if len(self.unlabelled) < FEWEST_UNLABELLED:
            return
        limit = OWN_SHARE * self.left
        steps = min(int(limit / step_seconds(small)), OWN_STEPS[1])
        if steps < OWN_STEPS[0]:
            return
        name = f"{small.name}, {OWN_PRETRAINING}"
        self.say(f"{name}: SimCLR")
        began = self.cross_validation.clock.spent
        encoder, done = pretrained_on(small, self.unlabelled, self._bench(steps), limit)
        if done < OWN_STEPS[0]:
            return
        vectors = cached_features(encoder, small.settings, small.images, self.device)
        frozen = FrozenEncoder(name, "scratch", encoder, small.settings, vectors, vectors.shape[1])
        tried = self.cross_validation.try_all_folds(
            [own_pretraining_arm(frozen, self.data.classes)]
        )
        tried[0].before = self.cross_validation.clock.spent - began - tried[0].seconds

    def best_size(self, sizes: list[Size]) -> Size:
        """The size whose frozen features are better, if the time suffices for fine-tuning at it."""

        def score(size: Size) -> float:
            return max(
                float(self.cross_validation.result(arm).scores(self.truth).sum())
                for arm in size.arms
            )

        for size in sorted(sizes, key=score, reverse=True):
            step = BATCH * size.start.cost.forward * BACKWARD["last"]
            if step * wanted_steps(len(self.truth)) * self._fits <= LAST_STAGES_SHARE * self.left:
                return size
        return sizes[0]

    @property
    def _fits(self) -> int:
        """Of an arm that gets to the end: every fold, and all labels."""
        return self.cross_validation.folds + 1

    def try_last_stages(self, size: Size) -> None:
        """Fine-tuning of the last half of the stages on cached views, for as many steps as fit by measured time."""
        start, rows = size.start, self.data.labelled
        stages = last_half(start.encoder)
        possible = int(LAST_STAGES_SHARE / 3 * self.left / (len(rows) * start.cost.forward))
        views = min(cached_view_count(len(rows)), possible)
        if not stages or views < FEWEST_VIEWS:
            return
        split = split_before_last(start.encoder, stages, start.settings.image_size)
        if split is None:
            return
        began = self.cross_validation.clock.spent
        name = f"{start.name}, the last {stages} stages fine-tuned"
        self.say(f"{name}: {views} views of {amount(len(rows), 'image')}")
        cached = CachedViews(start, split, self.data.labels, views, self._bench(0))
        step = cached.step_seconds()
        steps = planned_steps(len(rows), step, LAST_STAGES_SHARE * self.left / self._fits)
        arm = LastStagesArm(ArmCard(name, "pretrained"), cached, self._bench(steps), step)
        before = self.cross_validation.clock.spent - began
        self.cross_validation.halve([arm])
        self.cross_validation.result(arm).before = before

    def try_adapted(self, start: StartingPoint) -> None:
        """LoRA and fine-tuning of the whole encoder in two ways, by successive halving that may take all the time."""
        folds = self.cross_validation.folds
        fits = 3 + 2 * min(2, folds - 1) + max(folds - 3, 0) + 2
        step = full_step_seconds(start.cost.forward)
        steps = planned_steps(len(self.truth), step, self.left / fits)
        self.cross_validation.halve(adapted_arms(start, self._bench(steps)))

    def try_semi_supervised(self, start: StartingPoint) -> None:
        """From pretrained weights a vote, then FixMatch, CoMatch and SuNCEt; where there are images without a label.

        The vote comes first, since the time may suffice for one: run to its end, it was 2 points over fine-tuning of
        the whole network (50 labels of CIFAR-10 (JPEG), CamVid and Flickr8k; benchmarks/advise_trained.py).
        """
        if len(self.unlabelled) < FEWEST_UNLABELLED:
            return
        arms = semi_supervised_arms(start, self._bench(SEMI_SUPERVISED_STEPS))
        if start.settings.pretrained:
            steps = wanted_steps(len(self.truth))
            arms.insert(0, ensemble_arm(start, self._bench(steps)))
        self.cross_validation.halve(arms)
