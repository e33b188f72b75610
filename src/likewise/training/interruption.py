"""Ctrl-C and a scheduler's kill, turned into a stop after the step in hand."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import torch

from likewise.collectives import mean_over_ranks, world_size


class Interruption:
    """While the context is open, SIGINT and SIGTERM ask for a stop; a second one stops at once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def asked(self) -> bool:
        """Whether any rank was asked to stop: all must leave after the same step."""
        if world_size() == 1:
            return self._asked
        return bool(mean_over_ranks(torch.tensor(float(self._asked), device=self._device)) > 0)
