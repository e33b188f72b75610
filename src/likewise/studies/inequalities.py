"""The inequalities of a study on its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from likewise.report.pages.markup import Child, Markup, element, table


class Inequality(Protocol):
    """What was to be shown, and what was measured of it."""

    @property
    def says(self) -> str:
        """In words."""
        ...

    @property
    def wanted(self) -> float:
        """What was asked for, at least."""
        ...

    @property
    def measured(self) -> list[float]:
        """Of each seed, or one mean."""
        ...

    @property
    def held(self) -> bool:
        """Whether it holds."""
        ...


def inequalities_table(claims: Sequence[Inequality], caption: str, digits: int) -> Markup:
    """A row for each: the bound, what was measured to so many digits, and the verdict."""
    rows: list[list[Child]] = []
    for claim in claims:
        held = element("span", "held", class_="good") if claim.held else element("span", "failed", class_="bad")
        measured = ", ".join(f"{each:.{digits}f}" for each in claim.measured)
        rows.append([claim.says, f"at least {claim.wanted:.2f}", measured, held])
    return table(caption, ["that", "wanted", "measured", "verdict"], rows)
