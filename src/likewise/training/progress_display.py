"""The progress line: images a second, loss, online score, what takes the time, time left."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from likewise.counts import amount
from likewise.training.screen import Screen
from likewise.training.time_estimate import TimeEstimate

HEADLINES = ("knn20_top1", "effective_rank")
"""Online scores for the line; the first that was taken is displayed."""


class ProgressDisplay:
    """A live bar on a terminal; elsewhere, and in the log, a plain line at every tenth of the run."""

    def __init__(self, screen: Screen, title: str, first_step: int, steps: int) -> None:
        self._screen, self._steps = screen, steps
        self._started = time.perf_counter()
        self._first_step = first_step
        self._next_line = first_step
        self._estimate = TimeEstimate(first_step, steps)
        self._facts: dict[str, str] = {
            "speed": "",
            "loss": "",
            "score": "",
            "bottleneck": "",
            "unread": "",
        }
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
            console=screen.console,
            disable=not screen.live,
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
            self._facts["loss"] = f"loss {loss:.3f}"
        if seconds > 0:
            self._facts["speed"] = f"{images / seconds:,.0f} images/s"
        self._bar.update(self._task, completed=step, facts=self._line_of_facts())
        if estimate := self._estimate.step(step, seconds):
            self._screen.say(estimate)
        if loss is not None and step >= self._next_line:
            self._line(step)

    def scores(self, scores: Mapping[str, float]) -> None:
        """Show the newest online score."""
        for name in HEADLINES:
            if name in scores:
                self._facts["score"] = f"{name} {scores[name]:.3f}"
                return

    def bottleneck(self, named: str) -> None:
        """Show from the next step on what takes most of the time; nothing where no part is long."""
        self._facts["bottleneck"] = named

    def unread(self, count: int) -> None:
        """Show from the next step on how many images could not be decoded."""
        self._facts["unread"] = f"{amount(count, 'image')} unreadable" if count else ""

    def _line(self, step: int) -> None:
        seconds_a_step = (time.perf_counter() - self._started) / max(step - self._first_step, 1)
        left = seconds_a_step * (self._steps - step)
        line = f"step {step:,}/{self._steps:,}  {self._line_of_facts()}  {left:,.0f} s left"
        if self._screen.live:  # where the bar says the same
            self._screen.note(line)
        else:
            self._screen.say(line)
        self._next_line = step + max(self._steps // 10, 1)

    def _line_of_facts(self) -> str:
        return "  ".join(filter(None, self._facts.values()))
