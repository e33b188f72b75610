"""What a person sees while it trains: images a second, loss, online score, time left."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

HEADLINES = ("knn20_top1", "effective_rank")
"""Online scores worth a place on the line, best first."""


class ProgressDisplay:
    """A live bar on a terminal; elsewhere a plain line at every tenth of the run."""

    def __init__(self, console: Console, title: str, first_step: int, steps: int, enabled: bool = True) -> None:
        self._console, self._steps, self._enabled = console, steps, enabled
        self._started, self._first_images = time.perf_counter(), -1
        self._first_step, self._next_line = first_step, first_step
        self._loss, self._speed, self._score = "", "", ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not (enabled and console.is_terminal),
        )
        self._task = self._bar.add_task(title, total=steps, completed=first_step, facts="")

    def __enter__(self) -> ProgressDisplay:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def step(self, step: int, images: int, seconds: float, loss: float | None) -> None:
        """Show that a step is done; ``loss`` where it has been read off the device."""
        if loss is not None:
            self._loss = f"loss {loss:.3f}"
        if seconds > 0:
            self._speed = f"{images / seconds:,.0f} images/s"
        self._bar.update(self._task, completed=step, facts=self._facts())
        if self._enabled and not self._console.is_terminal and step >= self._next_line and loss is not None:
            left = (time.perf_counter() - self._started) / max(step - self._first_step, 1) * (self._steps - step)
            self._console.print(f"step {step:,}/{self._steps:,}  {self._facts()}  {left:,.0f} s left", highlight=False)
            self._next_line = step + max(self._steps // 10, 1)

    def scores(self, scores: Mapping[str, float]) -> None:
        """Show the newest online score."""
        for name in HEADLINES:
            if name in scores:
                self._score = f"{name} {scores[name]:.3f}"
                return

    def say(self, message: str) -> None:
        """A line above the bar."""
        if self._enabled:
            self._console.print(message)

    def _facts(self) -> str:
        return "  ".join(fact for fact in (self._speed, self._loss, self._score) if fact)
