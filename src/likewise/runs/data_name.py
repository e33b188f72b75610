"""What a run learns from, by name."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from likewise.run_folder import IN_MEMORY


def name_of(data: Any) -> str:
    """What a run learns from, for its record: a name or a path, or the kind of an object and a digest of its arrays.

    A run of arrays cannot be resumed with other pixels or other labels.
    """
    if isinstance(data, str | Path):
        return str(data)
    arrays = data if isinstance(data, list | tuple) else [data]
    digest = hashlib.blake2b(digest_size=8)
    for each in arrays:
        values = each.detach().cpu().numpy() if isinstance(each, Tensor) else each
        if isinstance(values, np.ndarray) and values.dtype != object:
            digest.update(f"{values.dtype} {values.shape}".encode())
            digest.update(np.ascontiguousarray(values).data)
        elif isinstance(values, list) and all(
            isinstance(value, int | float | str) for value in values
        ):
            digest.update(repr(values).encode())
        else:
            return f"{type(data).__name__} {IN_MEMORY}"
    return f"{type(data).__name__} {IN_MEMORY}, {digest.hexdigest()}"


def free_folder(data: Any, ending: str, may_exist: bool = False) -> Path:
    """``runs/<data>-<ending>``, or the first of that name with a number that is free.

    Args:
        data: what is learned from.
        ending: what the folder holds: a method's name, or ``advice``.
        may_exist: take the name without a number also where there is such a folder, as a resumed run does.
    """
    stem = Path(data).resolve().stem if isinstance(data, str | Path) else "arrays"
    stem = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in stem)
    folder = Path(f"runs/{stem}-{ending}")
    return folder if may_exist or not folder.exists() else another_folder(folder)


def another_folder(folder: Path) -> Path:
    """The first folder of a name with a number, from 2, that is free."""
    for number in itertools.count(2):
        numbered = folder.with_name(f"{folder.name}-{number}")
        if not numbered.exists():
            return numbered
    raise AssertionError("unreachable")
