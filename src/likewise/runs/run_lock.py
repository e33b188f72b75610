"""One process at a time trains in a run's folder."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from typing import NamedTuple

from filelock import FileLock, Timeout

from likewise.atomic_write import disk_error
from likewise.collectives import on_first_rank
from likewise.errors import DamagedFile, LikewiseError
from likewise.field_types import record_of
from likewise.json_files import read_json, reading, write_json
from likewise.run_folder import RunFolder
from likewise.runs.settings import TrainSettings
from likewise.training.rank_watch import is_running

PATIENCE = 15.0
"""Seconds that the worker processes of a killed run, which still hold its lock, are waited for."""


class Owner(NamedTuple):
    """The process that trains in a folder."""

    host: str
    pid: int
    since: str
    """date and time at which it took the folder"""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def locked(run: RunFolder) -> Iterator[str]:
    """While the context is open, no other process trains in the folder.

    The lock is one of the operating system's, which ends with its process, however that ends. ``owner.json`` names the
    process; a lock of another machine is known by that file alone.

    Yields:
        What is to be said where a process that was killed had left the folder locked; empty otherwise.

    Raises:
        LikewiseError: another process trains in the folder; the message names it.
    """
    lock, owner = FileLock(run.lock), _owner(run)
    _acquire(lock, run, owner)
    left_locked = f"The run was not ended by its last process ({owner}); this one goes on with it."
    try:
        now = datetime.now().isoformat(" ", "seconds")
        write_json(run.owner, Owner(platform.node(), os.getpid(), now)._asdict())
        yield left_locked if owner else ""
    finally:
        with suppress(OSError):
            run.owner.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: FileLock, run: RunFolder, owner: Owner | None) -> None:
    """Take the lock of a folder, whose last owner is known if it did not end."""
    if owner is not None and owner.host != platform.node():
        raise _in_use(run, owner, f"if it has ended, remove {run.owner} and give the command again")
    patience = 0.0 if owner is None or is_running(owner.pid) else PATIENCE
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        owner = _owner(run) or Owner(platform.node(), 0, "a moment ago")
        remedy = "wait for its end, stop it, or choose another folder with --out"
        raise _in_use(run, owner, remedy) from None
    except OSError as error:
        raise disk_error(run.lock, error) from error


@contextmanager
def taken(run: RunFolder, settings: TrainSettings) -> Iterator[str]:
    """While the context is open, the folder is this run's; the first rank locks it, and empties it to replace it.

    Yields:
        What is to be said of a killed process before it.

    Raises:
        LikewiseError: another process trains in the folder, or it holds something that may not be replaced.
    """
    with ExitStack() as stack:
        yield on_first_rank(lambda: _take(run, settings, stack))


def _take(run: RunFolder, settings: TrainSettings, stack: ExitStack) -> str:
    """A folder that holds no run is looked at before it gets a lock file."""
    if run.config.exists():
        message = stack.enter_context(locked(run))
        run.create(overwrite=settings.overwrite, resume=settings.resume)
        return message
    if settings.resume:
        raise LikewiseError(
            f"--resume was given, but {run.path} holds no run. Leave --resume out to begin one there, or give the "
            f"folder of the run that is to go on: --out FOLDER."
        )
    run.create(overwrite=settings.overwrite)
    return stack.enter_context(locked(run))


def _in_use(run: RunFolder, owner: Owner, remedy: str) -> LikewiseError:
    return LikewiseError(f"Another process trains in {run.path} ({owner}): {remedy}.")


def _owner(run: RunFolder) -> Owner | None:
    """Who has the folder; None where nobody has, or the file that tells is damaged."""
    try:
        with reading(run.owner):
            return record_of(Owner, read_json(run.owner)) if run.owner.exists() else None
    except DamagedFile:
        return None
