"""The same work for every row, on all cores."""

from __future__ import annotations

import ctypes
import math
import mmap
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from likewise.errors import EnvironmentIOError

Result = TypeVar("Result")

ROWS_AT_A_TIME = 64
END_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux's prctl.h"""
ROWS_WORTH_PROCESSES = 2000
"""Below this many rows starting processes takes longer than the work."""

_inherited: Callable[[int], Any] | None = None


def parallel_map(work: Callable[[int], Result], count: int) -> Iterator[Result]:
    """``work(0) .. work(count - 1)``, in order.

    Pillow holds the interpreter lock while it parses a file, which for small images is most of the time: two threads
    were slower than one on 32-pixel JPEGs. So many rows go to forked processes, where the system can fork (Linux);
    there ``work`` is inherited, not pickled, and torch computes on one thread, since its pool does not survive a fork.
    """
    if count < ROWS_WORTH_PROCESSES or not sys.platform.startswith("linux"):
        with ThreadPoolExecutor(_cores()) as threads:
            yield from threads.map(work, range(count))
        return
    rows = range(count)
    chunks = [rows[first : first + ROWS_AT_A_TIME] for first in range(0, count, ROWS_AT_A_TIME)]
    try:
        with _forked(work) as processes:
            for results in processes.map(_run_inherited, chunks):
                yield from results
    except BrokenProcessPool as error:
        raise EnvironmentIOError(
            "A process that reads images was ended from outside, as the system does where memory runs out. Free some "
            "memory, then give the command again."
        ) from error


def import_decoder() -> None:
    """What decodes JPEG, before processes are forked: each of them would take a second to import it."""
    import torchvision.io  # noqa: F401


@contextmanager
def _forked(work: Callable[[int], Any]) -> Iterator[Executor]:
    import_decoder()
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork where there are threads; the children here touch no lock that a thread might hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(
            _cores(), context, initializer=_inherit, initargs=(work,)
        ) as processes:
            yield processes


def _inherit(work: Callable[[int], Any]) -> None:
    global _inherited
    _inherited = work
    # A killed parent tells its children nothing: the system is asked to end them with it.
    ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
    if "torch" in sys.modules:  # what imports it later finds no pool that another process has used
        sys.modules["torch"].set_num_threads(1)


def _run_inherited(rows: range) -> list[Any]:
    assert _inherited is not None
    return [_inherited(row) for row in rows]


def shared_array(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Zeros in memory that forked processes share: they write where we read, and nothing passes through a pipe."""
    kind = np.dtype(dtype)
    memory = mmap.mmap(-1, kind.itemsize * math.prod(shape))
    return np.frombuffer(memory, kind).reshape(shape)


def _cores() -> int:
    """Cores that this process may use, which in a container are fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
