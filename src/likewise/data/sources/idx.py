"""The IDX format, in which MNIST and its descendants are published."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from likewise.errors import LikewiseError


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of unsigned bytes (http://yann.lecun.com/exdb/mnist/, "the IDX file format").

    Raises:
        LikewiseError: the file is not whole, or holds another type.
    """
    try:
        content = gzip.decompress(path.read_bytes())
        if content[:3] != b"\0\0\x08":
            raise ValueError("it does not begin as IDX of unsigned bytes does")
        shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise LikewiseError(
            f"{path} is not a whole gzipped IDX file ({error}). Install or download it again."
        ) from error
