"""Classes: how many examples each has, and names that are nearly the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from likewise.data.batch import UNLABELLED


def class_counts(labels: np.ndarray | Tensor) -> dict[int, int]:
    """How many examples each class has; the unlabelled are passed over."""
    present, counts = np.unique(np.asarray(labels), return_counts=True)
    pairs = zip(present.tolist(), counts.tolist(), strict=True)
    return {label: count for label, count in pairs if label != UNLABELLED}


def nearly_the_same(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Names that differ only in case, spaces, Unicode's forms of one letter or the writing of a number, as groups."""
    groups: dict[str, list[str]] = {}
    for name in names:
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        groups.setdefault(_number(plain) or plain, []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _number(name: str) -> str | None:
    """01, 1 and 1.0 as one text; None for what is no number."""
    return str(float(name)) if re.fullmatch(r"\d{1,15}(\.\d*)?", name) else None
