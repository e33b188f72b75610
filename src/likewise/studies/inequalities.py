"""The inequalities of a study on its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from likewise.report.pages.blocks import Cell, TableBlock


class Inequality(Protocol):
    """An inequality and its measured values."""

    @property
    def says(self) -> str:
        """The quantity in words."""
        ...

    @property
    def wanted(self) -> float:
        """The lower bound."""
        ...

    @property
    def measured(self) -> list[float]:
        """The values of each seed, or one mean."""
        ...

    @property
    def held(self) -> bool:
        """Whether it holds."""
        ...


def inequalities_table(claims: Sequence[Inequality], caption: str, digits: int) -> TableBlock:
    """A row for each: the bound, the measured values rounded to ``digits``, and the verdict."""
    rows = []
    for claim in claims:
        verdict = Cell("held", tone="good") if claim.held else Cell("failed", tone="bad")
        measured = ", ".join(f"{value:.{digits}f}" for value in claim.measured)
        rows.append([claim.says, f"at least {claim.wanted:.2f}", measured, verdict])
    return TableBlock(caption, ["inequality", "bound", "measured", "verdict"], rows)
