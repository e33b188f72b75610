"""The memory in which worker processes hand over their batches: ``/dev/shm``, of which containers often have little."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from likewise.errors import EnvironmentIOError

SHARED = Path("/dev/shm")
LEAST = 2**15
"""Bytes without which no worker can be started."""

NO_SHARED_MEMORY = (
    "A process that decodes images was ended because the machine's shared memory (/dev/shm) is full. Give the "
    "container more of it (docker run --shm-size 2g), or decode in this process: --num-workers 0. Continue with "
    "--resume."
)


def require_shared_memory() -> None:
    """Refuse to start workers where even their locks find no room.

    Raises:
        EnvironmentIOError: so it is.
    """
    if SHARED.is_dir() and shutil.disk_usage(SHARED).free < LEAST:
        raise EnvironmentIOError(NO_SHARED_MEMORY)


def share_memory(item: Any) -> None:
    """Move tensors to shared memory here, where an error reaches the run, and not in the thread that sends them.

    Raises:
        RuntimeError: the machine's shared memory is full.
    """
    if isinstance(item, Tensor):
        item.share_memory_()
    elif isinstance(item, Mapping):
        share_memory(tuple(item.values()))
    elif isinstance(item, tuple | list):
        for part in item:
            share_memory(part)
