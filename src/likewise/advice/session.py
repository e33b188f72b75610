"""One advice: from opened data to the folder with its classifier."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from torch import Tensor

from likewise.advice.advice import FILE, Advice, ArmResult, Gain
from likewise.advice.arm import Trained
from likewise.advice.candidates import (
    PRETRAINED_SIZES,
    cost_of,
    pretrained_settings,
    scratch_settings,
    starting_point,
    that_fit,
    too_short,
    weights_at_hand,
)
from likewise.advice.clock import Clock, in_words
from likewise.advice.cross_validation import FAILURES, CrossValidation, TriedArm, answers_of
from likewise.advice.expected import arm_accuracy, expected_accuracy
from likewise.advice.folds import NEVER, fold_count, stratified_folds
from likewise.advice.frozen import MEAN_OF_ALL
from likewise.advice.opened_data import LabelledData
from likewise.advice.programme import Programme
from likewise.advice.sentence import choice_sentence, first_sentence, gain_sentence
from likewise.advice.winner import FILES, Winner, eligible, save_winner
from likewise.advice.worth import gains_of
from likewise.counts import amount
from likewise.errors import LikewiseError
from likewise.report.pages.advice_page import write_advice_page
from likewise.run_folder import make_folder
from likewise.training import Interrupted

PAGE = "advice.html"

RESERVE = 0.05
"""share of the time that is left for the page and the files"""

LEAST_RESERVE = 2.0
"""seconds of it at least"""

SAFETY = 1.5
"""as many times the time that saving took is left for the last saving"""

FEW_GROUPS = 10
"""with labels, below which a note says that they are few"""

INSTALL = "pip install 'likewise[pretrained]'"


class Session:
    """What one call of `likewise.advise` has found so far.

    Args:
        data: images, with the visible labels.
        folder: for the classifier, ``advice.json`` and the page.
        clock: the time.
        device: where networks compute.
        seed: of folds, weights and views.
        console: prints progress.
        max_bad: share of the files, 0 to 1, that may be unreadable.

    Raises:
        FilesLeftOut: more of them are.
        LikewiseError: the time suffices for nothing.
    """

    def __init__(
        self,
        data: LabelledData,
        folder: Path,
        clock: Clock,
        device: torch.device,
        seed: int,
        console: Console,
        max_bad: float,
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.device = device
        self.seed = seed
        self.console = console
        self.given = len(data.labels)
        weights = weights_at_hand(data)
        if weights:
            settings = pretrained_settings(data, weights, PRETRAINED_SIZES[0])
        else:
            settings = scratch_settings(data)
        cost = cost_of(data, settings, device)
        self.data, encoding = that_fit(data, settings.image_size, cost, clock.seconds, seed)
        reserve = max(LEAST_RESERVE, RESERVE * clock.seconds)
        needed = reserve + encoding
        if clock.left < needed:
            raise too_short(clock.seconds, clock.spent + needed)
        self.data, images = self.data.readable(settings.image_size, max_bad)
        self.notes = list(self.data.notes)
        if weights is None:
            self.notes.append(
                f"no pretrained weights are at hand, so every arm starts from scratch; get some: {INSTALL}"
            )
        self._assign_folds()
        self.cross_validation = CrossValidation(
            self.data.labels, self.fold_of, self.data.classes, clock, reserve, self.say
        )
        start = starting_point(images, settings, cost, seed) if weights else None
        self.programme = Programme(
            self.data, self.cross_validation, start, device, seed, self.keep, self.say
        )

    def _assign_folds(self) -> None:
        """The labelled images, and which of them are held out together."""
        self.labelled = self.data.labelled
        self.truth = self.data.labels[self.labelled]
        self.groups = None if self.data.groups is None else self.data.groups[self.labelled]
        self._note_few_groups()
        self.fold_of = stratified_folds(self.truth, self.groups, fold_count(self.truth), self.seed)
        self.held_out = self.fold_of != NEVER

    def _note_few_groups(self) -> None:
        if self.groups is None:
            return
        count = len(self.groups.unique())
        if count < FEW_GROUPS:
            self.notes.append(
                f"the labels are of {amount(count, 'group')} only, which say little about new ones"
            )

    def run(self, longer: str, overwrite: bool) -> Advice:
        """Try what the time allows, then save the winner.

        Args:
            longer: the command for more time.
            overwrite: whether the folder may hold an earlier advice.

        Raises:
            Interrupted: Ctrl-C; what was found by then has been saved.
        """
        self.longer = longer
        make_folder(self.folder, [*FILES, FILE, PAGE], overwrite)
        for note in self.notes:
            self.console.print(f"note: {escape(note)}")
        try:
            self.programme.run()
        except (KeyboardInterrupt, Interrupted):
            self._show(self.keep())
            stopped = f"Stopped after {in_words(self.clock.spent)}."
            raise Interrupted(f"{stopped} What was found by then is in {self.folder}.") from None
        except FAILURES as error:
            if not eligible(self.cross_validation.tried):
                raise
            self.notes.append(f"the search ended early: {error}")
        advice = self.finish(eligible(self.cross_validation.tried))
        self._show(advice)
        return advice

    def keep(self) -> Advice:
        """Save the best so far of what is fitted at once, so that nothing is lost whatever happens."""
        began, found = self.clock.spent, eligible(self.cross_validation.tried)
        advice = self.finish([each for each in found if not each.card.trains_encoder] or found)
        # The last time will take as long, however busy the machine is.
        reserve = SAFETY * (self.clock.spent - began)
        self.cross_validation.reserve = max(self.cross_validation.reserve, reserve)
        return advice

    def finish(self, candidates: list[TriedArm]) -> Advice:
        """The best of some arms fitted to all labels and saved, with the table, the sentence and the page."""
        winner, trained, candidates = self._fit_best(candidates)
        arm = self.cross_validation.arm(winner)
        protocol = {
            "arm": winner.card.name,
            "folds": self.cross_validation.folds,
            "labels": len(self.labelled),
        }
        made = Winner(trained, winner.logits, self.truth, self.data.class_names, protocol)
        learned_from = (
            self.labelled if winner.card.trains_encoder else torch.arange(len(self.data.labels))
        )
        save_winner(made, arm.features(trained, learned_from), self.folder)
        advice = self._advice(candidates, winner)
        advice.save()
        write_advice_page(advice.to_json(), self.folder / PAGE)
        return advice

    def say(self, line: str) -> None:
        """Progress, with the time that is left."""
        self.console.print(
            f"[dim]{in_words(max(self.clock.left, 0)):>5} left  {escape(line)}[/dim]"
        )

    def _show(self, advice: Advice) -> None:
        self.console.print(advice.table(), escape(advice.sentence), sep="\n")

    def _fit_best(self, candidates: list[TriedArm]) -> tuple[TriedArm, Trained, list[TriedArm]]:
        """The winner, fitted to all labels, and what it was chosen from.

        Where that takes too long or fails, the next best; in the place of a mean, what it averages.
        """
        remaining, nobody = list(candidates), torch.zeros(0, dtype=torch.int64)
        while remaining:
            best = self._best(remaining)
            limit = max(
                self.clock.left - self.cross_validation.reserve / 2, self.cross_validation.reserve
            )
            remaining.remove(best)
            try:
                trained = self.cross_validation.arm(best).fit(self.data.labels, nobody, limit)
            except Interrupted:
                raise
            except FAILURES as error:
                self.cross_validation.fail(best, error)
                able = eligible(self.cross_validation.tried)
                remaining += [each for each in able if each.card.name in best.card.averaged]
                continue
            if trained is not None:
                return best, trained, [best, *remaining]
        if failed := self._failures():
            raise LikewiseError(f"No arm could be fitted. {failed[0]}")
        raise too_short(self.clock.seconds, 2 * self.clock.seconds)

    def _failures(self) -> list[str]:
        """The arms that ended with an error, and why."""
        return [
            f"{each.card.name} failed and is not compared: {each.reason}"
            for each in self.cross_validation.tried
            if each.outcome == "failed"
        ]

    def _best(self, arms: list[TriedArm]) -> TriedArm:
        """The arm with the best answers; where no label can be held out the mean of all heads."""
        if bool(self.held_out.any()):
            return arms[answers_of(arms, self.truth, self.held_out).best]
        return next((each for each in arms if MEAN_OF_ALL in each.card.name), arms[0])

    @property
    def _held_out_share(self) -> float:
        return float(self.held_out.double().mean())

    def _groups_of(self, rows: Tensor) -> Tensor | None:
        return None if self.groups is None else self.groups[rows]

    def _advice(self, candidates: list[TriedArm], winner: TriedArm) -> Advice:
        tried, folds = self.cross_validation.tried, self.cross_validation.folds
        found = self._expected_accuracy(candidates)
        first = first_sentence(
            self.given, len(self.truth), self.data.classes, winner.card.name, *found
        )
        gains = self._gains()
        findings = [words for words in map(gain_sentence, gains) if words]
        arms = [self._result(each) for each in tried]
        won = arms[tried.index(winner)]
        return Advice(
            folder=self.folder,
            winner=winner.card.name,
            expected=found[0],
            low=found[1],
            high=found[2],
            arms=arms,
            gains=gains,
            sentence=" ".join([first, *findings]),
            findings=findings,
            choice=choice_sentence(won, arms, folds),
            command=self.longer,
            source=self.data.source,
            images=self.given,
            labels=len(self.truth),
            classes=self.data.classes,
            seconds=round(self.clock.spent, 1),
            time=self.clock.seconds,
            notes=[*self.notes, *self._failures()],
            protocol={"folds": folds, "seed": self.seed},
        )

    def _expected_accuracy(
        self, candidates: list[TriedArm]
    ) -> tuple[float | None, float | None, float | None]:
        """What is expected of new images, with its interval; None where no label can be held out."""
        if not bool(self.held_out.any()):
            return None, None, None
        answers = answers_of(candidates, self.truth, self.held_out)
        folds, groups = self.cross_validation.folds, self._groups_of(self.held_out)
        return expected_accuracy(answers, folds, groups, self.seed, self._held_out_share)

    def _gains(self) -> list[Gain]:
        """What each way of learning is worth, as far as labels were held out."""
        gains: list[Gain] = []
        if self.programme.label_gain is not None:
            gains.append(self.programme.label_gain)
        if bool(self.held_out.any()):
            gains += gains_of(self.cross_validation.tried, self.truth, self.groups)
        return gains

    def _result(self, tried: TriedArm) -> ArmResult:
        known, seconds = tried.measured, round(tried.seconds, 2)
        if not bool(known.any()):
            return ArmResult(tried.card.name, None, None, None, seconds, tried.outcome)
        correct, groups = tried.correct(self.truth)[known], self._groups_of(known)
        found = arm_accuracy(correct, self.cross_validation.folds, groups, self._held_out_share)
        folds = len(self.fold_of[known].unique())
        probability = float(tried.scores(self.truth)[known].mean().exp())
        return ArmResult(tried.card.name, *found, seconds, tried.outcome, folds, probability)
