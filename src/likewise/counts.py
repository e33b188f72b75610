"""Numbers of things in messages: 640,000 images, 1 image."""

from __future__ import annotations


def count(number: float) -> str:
    """640000 -> ``640,000``."""
    return f"{number:,.0f}"


def amount(number: int, one: str, many: str | None = None) -> str:
    """(2, "image") -> ``2 images``."""
    noun = one if number == 1 else many or f"{one}s"
    return f"{count(number)} {noun}"
