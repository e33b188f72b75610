"""A sample of positions that is spread evenly over a set, for looks at a part of it."""

from __future__ import annotations

import numpy as np


def evenly_spaced(count: int, most: int) -> np.ndarray:
    """At most ``most`` of the positions 0 to count - 1 at equal distances, the first and the last included: int64."""
    positions = np.linspace(0, count - 1, min(most, count))
    return positions.round().astype(np.int64)
