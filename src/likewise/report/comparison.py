"""The result of comparing runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from likewise.evaluation.statistics.scores import Score
from likewise.report.record import RunRecord
from likewise.report.speed_up import SpeedUp
from likewise.report.wording import interval, percent, score_name


@dataclass(frozen=True)
class Comparison:
    """Runs compared with the first of them, the reference."""

    records: tuple[RunRecord, ...]
    names: tuple[str, ...]
    """of each run its folder's name, or its path where two share a name"""
    score: str | None
    """the online accuracy that the curves show; None where the runs have none in common"""
    speed_ups: tuple[SpeedUp, ...]
    """one or two for each run after the first"""
    incomparable: tuple[str, ...]
    """why the scores are not comparable; empty unless that was allowed"""
    notes: tuple[str, ...]
    """differences that a reader should know of"""
    page: Path | None = None

    @property
    def sentence(self) -> str:
        """The speed-ups, in sentences."""
        if not self.speed_ups or self.score is None:
            return "The runs logged no online accuracy in common, so no speed-up can be stated."
        online = f"Accuracy is measured online, by {score_name(self.score)}."
        return " ".join([*[str(each) for each in self.speed_ups], online])

    @property
    def score_names(self) -> list[str]:
        """Final scores that any of the runs has."""
        names: dict[str, None] = {}  # a set in order
        for record in self.records:
            names |= dict.fromkeys(score.name for score in record.scores["trained"])
        return list(names)

    def __rich__(self) -> RenderableType:
        """The table and the sentence, for a terminal."""
        table = Table("score", *[escape(name) for name in self.names])
        for name in self.score_names:
            scores = [record.score("trained", name) for record in self.records]
            table.add_row(score_name(name), *map(_cell, scores))
        lines = []
        if self.incomparable:
            lines.append(Text(f"Not comparable: {'; '.join(self.incomparable)}.", style="bold red"))
        lines += [Text(line) for line in (self.sentence, *self.notes)]
        if self.page:
            lines.append(Text(f"Page: {self.page}"))
        return Group(table, *lines)


def _cell(score: Score | None) -> str:
    return f"{percent(score.value)}  ({interval(score.low, score.high)})" if score else "–"
