"""One process at a time writes to an output file or folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from likewise.atomic_write import disk_error
from likewise.errors import LikewiseError

LOCK = ".lock"
"""An empty file in an output folder, which the process that writes there holds locked."""


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but, at most, the file of a lock."""
    return all(path.name == LOCK for path in folder.iterdir())


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """While the context is open, no other process that asks writes to a file; the lock ends with its process.

    Raises:
        LikewiseError: another process writes to it.
        EnvironmentIOError: its folder is not there, or may not be written to.
    """
    with _locked(out.with_name(f".{out.name}{LOCK}"), out):
        yield


@contextmanager
def only_writer_in(folder: Path) -> Iterator[None]:
    """The same for a folder, which is made if it is not there, and removed again if nothing was written.

    Raises:
        LikewiseError: another process writes to it, or it is a file.
        EnvironmentIOError: it cannot be made, or may not be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise LikewiseError(f"The output {folder} is a file; --out takes a folder.")
    was_there = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(folder, error) from error
    try:
        with _locked(folder / LOCK, folder):
            yield
    finally:
        if not was_there:
            with suppress(OSError):  # something was written
                folder.rmdir()


@contextmanager
def _locked(file: Path, out: Path) -> Iterator[None]:
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LikewiseError(
            f"Another process writes to {out}. Wait for its end, or choose another --out."
        ) from None
    except OSError as error:
        raise disk_error(out if out.parent == file.parent else file, error) from error
    try:
        yield
    finally:
        # Removed while it is held, so that no other process loses its own.
        with suppress(OSError):
            file.unlink(missing_ok=True)
        lock.release()
