"""Threads that each take their own rows."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def block_threads() -> Iterator[tuple[Executor, int]]:
    """As many threads as PyTorch has, and their number; meanwhile an operation of PyTorch has one.

    Threads that share a short operation wait for each other at its end: on two busy cores products of blocks of 2 MB
    took seven times the processor time that they take on one thread.
    """
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(count) as threads:
            yield threads, count
    finally:
        torch.set_num_threads(count)


def even_parts(rows: int, parts: int) -> list[slice]:
    """All rows, cut into at most as many parts of nearly one size."""
    step = max(-(-rows // parts), 1)
    return [slice(start, start + step) for start in range(0, rows, step)]
