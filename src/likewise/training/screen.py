"""Where messages go: the terminal and the run's log."""

from __future__ import annotations

import contextlib
import sys
import warnings
from pathlib import Path

from rich.console import Console, RenderableType
from rich.markup import escape

from likewise.atomic_write import disk_error

OWN_CODE = (str(Path(__file__).parents[1]), contextlib.__file__)
"""Where the files of this package begin, and what its decorators are made with."""


class Screen:
    """A console and, once there is a run's folder, its ``train.log``.

    Args:
        console: where messages go. None: nowhere, and warnings become Python's, as those of a library do.
        enabled: whether this process says anything at all.
    """

    def __init__(self, console: Console | None, enabled: bool = True) -> None:
        self.console = console if console is not None and enabled else Console(quiet=True)
        self._warns_in_python = console is None and enabled
        self._log: Path | None = None

    @property
    def live(self) -> bool:
        """Whether the console can redraw a line."""
        return self.console.is_terminal and not self.console.quiet

    def keep(self, path: Path) -> None:
        """From now on append all messages to this file too."""
        try:
            path.touch()
        except OSError as error:
            raise disk_error(path, error) from error
        self._log = path

    def say(self, message: RenderableType) -> None:
        """To the console and the log."""
        self.console.print(message, highlight=False)
        self.note(message)

    def warn(self, warning: str) -> None:
        """As `say`, in yellow; where there is no console, as a Python warning."""
        self.say(f"[yellow]{escape(warning)}[/yellow]")
        if self._warns_in_python:
            warnings.warn(
                warning.removeprefix("warning: "), UserWarning, stacklevel=_level_of_caller()
            )

    def note(self, message: RenderableType) -> None:
        """To the log alone, which is closed again: a notebook may train many times."""
        if self._log is None:
            return
        try:
            with self._log.open("a", encoding="utf-8") as stream:
                Console(file=stream, width=120, no_color=True).print(message, highlight=False)
        except OSError as error:
            raise disk_error(self._log, error, remedy="continue with --resume") from error


def _level_of_caller() -> int:
    """How many calls above the caller of this function the user's code stands, as ``warnings.warn`` counts them."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(OWN_CODE):
        level, frame = level + 1, frame.f_back
    return level
