"""What the doctor found: one thing that is wrong, and all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    name: str
    """what it is, in a word or two"""
    groups: tuple[tuple[str, ...], ...]
    """ids concerned, some with what is wrong in brackets; those of one group belong together (copies, say)"""
    meaning: str
    """what it does to training or to the scores"""
    remedy: str
    """what to do, in one line"""
    details: tuple[str, ...] = ()
    """of copies, for each group: what was done to them and which splits they are in, ``mirrored; test, train``"""

    @property
    def count(self) -> int:
        """How many groups."""
        return len(self.groups)


@dataclass(frozen=True)
class Findings:
    """Everything that was found, the worst first."""

    images: int
    """images that were looked at"""
    found: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    """how the source was understood where it could be taken in more than one way"""

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.found


def one_by_one(ids: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """A group for each id."""
    return tuple((name,) for name in ids)
