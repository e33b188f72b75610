"""Numbers of things in messages: 640,000 images, 1 image; a.png, b.png and 3 more."""

from __future__ import annotations

from collections.abc import Sequence


def count(number: float) -> str:
    """640000 -> ``640,000``."""
    return f"{number:,.0f}"


def amount(number: int, one: str, many: str | None = None) -> str:
    """(2, "image") -> ``2 images``."""
    noun = one if number == 1 else many or f"{one}s"
    return f"{count(number)} {noun}"


def span(low: int, high: int) -> str:
    """(2, 5) -> ``2 to 5``; (2, 2) -> ``2``."""
    return str(low) if low == high else f"{low} to {high}"


def first_of(names: Sequence[str], limit: int) -> str:
    """(["a", "b", "c"], 2) -> ``a, b and 1 more``."""
    rest = len(names) - limit
    more = f" and {count(rest)} more" if rest > 0 else ""
    return ", ".join(names[:limit]) + more
