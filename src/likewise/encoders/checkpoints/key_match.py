"""What of a weights file went into an encoder, and what did not."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from likewise.counts import first_of

MAX_NAMES = 3
"""Names of each kind in a message."""


class KeyMatch(NamedTuple):
    """How well a file fits an encoder."""

    layout: str
    """whose names the file has, and which of its networks was taken"""
    matched: int
    """tensors of the encoder that the file filled"""
    missing: tuple[str, ...]
    """tensors of the encoder that the file lacks: they stay random"""
    mismatched: tuple[str, ...]
    """tensors of another shape, with both shapes: they stay random too"""
    unexpected: tuple[str, ...]
    """tensors of the file that no rule knows"""
    left_out: tuple[str, ...]
    """tensors of heads, queues and other copies of the encoder, left out on purpose"""
    notes: tuple[str, ...] = ()
    """what was changed on the way in"""

    @property
    def complete(self) -> bool:
        """Whether nothing stays random."""
        return not self.missing and not self.mismatched

    def __str__(self) -> str:
        """For the first screen: the layout, counts, and the names of what stays random."""
        counts = (
            f"{self.layout}: {self.matched} tensors matched, {len(self.missing)} missing, {len(self.mismatched)} of "
            f"another shape, {len(self.unexpected)} unexpected"
        )
        facts = [counts, *self.notes]
        if self.left_out:
            facts.append(f"left out: {_by_part(self.left_out)}")
        if not self.complete:
            at_random = (*self.missing, *self.mismatched)
            facts.append(f"start at random: {first_of(at_random, MAX_NAMES)}")
        if self.unexpected:
            facts.append(f"unexpected: {first_of(self.unexpected, MAX_NAMES)}")
        return "; ".join(facts)


def _by_part(names: tuple[str, ...]) -> str:
    """``encoder_k (320), queue (1)``: the first parts of names, and how many begin so."""
    counts = Counter(name.partition(".")[0] for name in names)
    return ", ".join(f"{part} ({count})" for part, count in counts.items())
