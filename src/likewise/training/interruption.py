"""Ctrl-C and a scheduler's signal, turned into a stop after the step in progress."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import torch

from likewise.collectives import any_over_ranks


class Interruption:
    """While the context is open, SIGINT and SIGTERM request a stop; a second one stops at once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._requested = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self._requested:
            raise KeyboardInterrupt
        self._requested = True

    def requested(self) -> bool:
        """Whether any process got a signal: all must leave after the same step."""
        return any_over_ranks(self._requested, self._device)
