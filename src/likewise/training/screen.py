"""Where messages go: the terminal and the run's log."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console, RenderableType

from likewise.atomic_write import disk_error


class Screen:
    """A console and, once there is a run's folder, its ``train.log``."""

    def __init__(self, console: Console, enabled: bool = True) -> None:
        self.console = console if enabled else Console(quiet=True)
        self._log: Console | None = None
        self._path: Path | None = None

    @property
    def live(self) -> bool:
        """Whether the console can redraw a line."""
        return self.console.is_terminal and not self.console.quiet

    def keep(self, path: Path) -> None:
        """From now on append all messages to this file too."""
        try:
            stream = path.open("a", encoding="utf-8")
            self._log, self._path = Console(file=stream, width=120, no_color=True), path
        except OSError as error:
            raise disk_error(path, error) from error

    def say(self, message: RenderableType) -> None:
        """To the console and the log."""
        self.console.print(message, highlight=False)
        self.note(message)

    def note(self, message: RenderableType) -> None:
        """To the log alone."""
        if self._log is None or self._path is None:
            return
        try:
            self._log.print(message, highlight=False)
            self._log.file.flush()
        except OSError as error:
            raise disk_error(self._path, error, remedy="continue with --resume") from error
