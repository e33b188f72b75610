"""What callbacks log, as numbers and texts that a line of JSON holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from likewise.errors import LikewiseError

PROGRESS = ("step", "images", "seconds")
"""Entries that every line of the log has; a resumed run reads the step."""


def callback_line(values: Mapping[str, Any]) -> dict[str, float | str]:
    """The values of a line; a tensor or an array of one number becomes that number.

    Args:
        values: numbers, texts, or tensors of one number, by name.

    Raises:
        LikewiseError: a value is something else, or a name is one of those that every line has.
    """
    if not isinstance(values, Mapping):
        raise LikewiseError(
            f"state.log takes values by name, state.log({{'norm': 0.5}}); {type(values).__name__} was given."
        )
    for name in values:
        if not isinstance(name, str) or name in PROGRESS:
            raise LikewiseError(
                f"state.log was given the name {name!r}; names are texts, and none of {', '.join(PROGRESS)}, which "
                f"every line has. Choose another name."
            )
    return {name: _entry(name, value) for name, value in values.items()}


def _entry(name: str, value: Any) -> float | str:
    """A number or a text of Python's own."""
    given = type(value).__name__
    if isinstance(value, Tensor | np.ndarray | np.generic):
        given += f" of shape {tuple(value.shape)}"
        value = value.item() if math.prod(value.shape) == 1 else None
    if isinstance(value, float | int | str):
        return value
    raise LikewiseError(
        f"state.log was given {given} as {name!r}; allowed are numbers, texts and tensors of one number."
    )
