"""What a run learns from, by name."""

from __future__ import annotations

import hashlib
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
        elif isinstance(values, list) and all(isinstance(value, int | float | str) for value in values):
            digest.update(repr(values).encode())
        else:
            return f"{type(data).__name__} {IN_MEMORY}"
    return f"{type(data).__name__} {IN_MEMORY}, {digest.hexdigest()}"
