"""What every study gives: inequalities with their measured values, a sentence, and plain JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from likewise.report.pages.blocks import Cell, TableBlock


class StudyClaim(NamedTuple):
    """An inequality of the paper's picture, on the worst of the seeds."""

    says: str
    wanted: float
    """the quantity shall be at least this"""
    measured: list[float]
    """of each seed, or one mean"""

    @property
    def held(self) -> bool:
        """Whether it holds for every seed."""
        return min(self.measured) >= self.wanted


class StudyResult:
    """What a study found."""

    seeds: list[int]
    seconds: float
    """the time that it took"""

    @property
    def claims(self) -> list[StudyClaim]:
        """The inequalities, with their measured values."""
        raise NotImplementedError

    @property
    def held(self) -> bool:
        """Whether all of them hold."""
        return all(claim.held for claim in self.claims)

    @property
    def sentence(self) -> str:
        """The result in words."""
        raise NotImplementedError

    def measurements(self) -> dict[str, Any]:
        """What was simulated and measured, as plain JSON types."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain JSON types."""
        return {
            **self.measurements(),
            "claims": [{**claim._asdict(), "held": claim.held} for claim in self.claims],
            "held": self.held,
            "sentence": self.sentence,
            "seconds": self.seconds,
        }


def inequalities_table(claims: Sequence[StudyClaim], caption: str, digits: int) -> TableBlock:
    """A row for each: the bound, the measured values rounded to ``digits``, and the verdict."""
    rows = []
    for claim in claims:
        verdict = Cell("held", tone="good") if claim.held else Cell("failed", tone="bad")
        measured = ", ".join(f"{value:.{digits}f}" for value in claim.measured)
        rows.append([claim.says, f"at least {claim.wanted:.2f}", measured, verdict])
    return TableBlock(caption, ["inequality", "bound", "measured", "verdict"], rows)
