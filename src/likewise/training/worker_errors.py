"""What goes wrong in the processes that decode images, in one sentence."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from likewise.atomic_write import FULL
from likewise.data.shared_memory import NO_SHARED_MEMORY
from likewise.data.stored_batch import Examples
from likewise.errors import EnvironmentIOError, LikewiseError

GONE = "DataLoader worker exited unexpectedly"


def with_plain_errors(batches: Iterator[Examples]) -> Iterator[Examples]:
    """The same batches; errors of a DataLoader's workers come without the traceback that PyTorch puts into them.

    Raises:
        LikewiseError: what a worker raised.
        EnvironmentIOError: a worker was killed while it sent a batch, or the machine's shared memory is full.
    """
    try:
        yield from batches
    except (ConnectionError, EOFError) as error:  # the other end of what a worker sends has gone
        raise EnvironmentIOError(
            _of_killed_worker(_told_by_torch()) or _of_killed_worker(GONE)
        ) from error
    except OSError as error:
        if error.errno not in FULL or error.filename:
            raise
        raise EnvironmentIOError(NO_SHARED_MEMORY) from error  # even a lock of a process takes some
    except (LikewiseError, RuntimeError) as error:
        own = re.search(r"\nlikewise\.errors\.\w+: (.*)", str(error))
        if own is not None and str(error).startswith("Caught "):
            raise LikewiseError(own[1]) from error
        raise


@contextmanager
def killed_workers_told() -> Iterator[None]:
    """While the context is open, the end of a worker is told in one sentence.

    PyTorch learns of it by a signal, and raises wherever the program then stands: in an optimiser's step, say.

    Raises:
        EnvironmentIOError: a worker was killed, or found no shared memory.
    """
    try:
        yield
    except RuntimeError as error:
        message = _of_killed_worker(str(error))
        if not message:
            raise
        raise EnvironmentIOError(message) from error


def _told_by_torch() -> str:
    """What PyTorch says of a dead worker, which it does in a signal handler, some time after its end is noticed."""
    try:
        time.sleep(1)
    except RuntimeError as error:
        return str(error)
    return ""


def _of_killed_worker(text: str) -> str:
    """Why a worker was killed and what to type; empty where none was."""
    if "unable to allocate shared memory" in text:
        return NO_SHARED_MEMORY
    if "DataLoader worker" not in text or text.startswith("Caught "):
        return ""
    if "shared memory" in text or "shm" in text:
        return NO_SHARED_MEMORY
    signal = re.search(r"by signal: (\w+)", text)
    how = f"by the signal {signal[1]}" if signal else "unexpectedly"
    return (
        f"A process that decodes images was ended {how}, as the system does where memory runs out. Continue with "
        f"--resume, with fewer such processes: --num-workers 1."
    )
