"""Writing a file whole or not at all, and what to say where the disk refuses."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from likewise.errors import EnvironmentIOError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""errors of a disk, a quota or a limit that is used up"""
DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
"""errors of a place that may not be written to"""


@contextmanager
def atomic_write(path: Path, remedy: str = "", needed: int = 0) -> Iterator[Path]:
    """Write to the path that is yielded; then that file takes the place of ``path``.

    A kill leaves either the old file or the new one. Where writing fails the old file stays and the part that was
    written is removed.

    Args:
        path: the file.
        remedy: what to type once the disk takes files again; it follows "Free some space, then".
        needed: bytes that the file takes; 0: a message says how many were written.

    Raises:
        EnvironmentIOError: the disk is full or may not be written to.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        needed = needed or (_size(partial) if error.errno in FULL else 0)
        _remove(partial)
        raise disk_error(path, error, needed, remedy) from error
    except BaseException:
        _remove(partial)
        raise


def write_bytes(path: Path, content: bytes | memoryview, remedy: str = "") -> None:
    """Replace a file's content, or leave it as it is.

    Raises:
        EnvironmentIOError: the disk is full or may not be written to; it says how many bytes were needed.
    """
    with atomic_write(path, remedy, len(content)) as partial, partial.open("wb") as file:
        file.write(content)


def write_arrays(path: Path, **arrays: Any) -> None:
    """Replace an ``.npz`` file, or leave it as it is.

    Raises:
        EnvironmentIOError: the disk is full or may not be written to.
    """
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # pyright: ignore[reportArgumentType] -- its stub takes every keyword for one
    write_bytes(path, packed.getbuffer())


def disk_error(path: Path, error: OSError, needed: int = 0, remedy: str = "") -> EnvironmentIOError:
    """The message for a file that cannot be written: why, the room there is, and what to do.

    Args:
        path: the file.
        error: what the machine said.
        needed: bytes that the file takes, or that were written of it; 0: not known.
        remedy: what to type afterwards.
    """
    reason = error.strerror or str(error)
    if not path.parent.is_dir():
        return EnvironmentIOError(
            f"{path} cannot be written: its folder {path.parent} is gone. Make it again, or write to another (--out)."
        )
    if error.errno in DENIED:
        return EnvironmentIOError(
            f"{path} cannot be written: {reason}. Allow writing to {path.parent}, or choose another folder (--out)."
        )
    if error.errno not in FULL:
        return EnvironmentIOError(f"{path} cannot be written: {reason}.")
    wanted = f"It takes {needed / 1e6:,.1f} MB or more, and " if needed else ""
    then = remedy or "give the same command again, or choose a folder on another disk with --out"
    limit = " The limit may be one of this shell: ulimit -f." if error.errno == errno.EFBIG else ""
    return EnvironmentIOError(
        f"{path} cannot be written: {reason}. {wanted}{free_space(path.parent) / 1e6:,.1f} MB are free on its disk."
        f"{limit} Free some space, then {then}."
    )


def refused_by_disk(error: Exception) -> OSError | None:
    """The machine's refusal to write behind another library's error; None where the error has another reason.

    safetensors and PyTorch write by themselves and keep the reason in their text, or do not give it.
    """
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, OSError):
            return behind
        behind = behind.__cause__ or behind.__context__
    text = str(error)
    for number in FULL | DENIED:
        if f"os error {number})" in text or os.strerror(number) in text:
            return OSError(number, os.strerror(number))
    if "PytorchStreamWriter" in text or "inline_container" in text:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return None


def free_space(folder: Path) -> int:
    """Bytes that may still be written to a folder's disk."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
