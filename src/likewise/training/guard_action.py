"""What a guard says, and what a run does, once training is found to have gone wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from likewise.training.screen import Screen

Action = Literal["warn", "stop", "rollback"]
"""What a guard does: say so; end the run; let it go on. The last two restore better networks in the end."""

WriteLine = Callable[[Mapping[str, float | str]], None]
"""Adds a line to the log."""


class GuardMessages:
    """Tells the log and the screen what a guard has found, once, with what follows from it.

    Args:
        key: of its messages in the log.
        option: by which the action is chosen.
        action: what was chosen.
        kept: which networks the action keeps: "the best networks".
        screen: prints the messages.
    """

    def __init__(self, key: str, option: str, action: Action, kept: str, screen: Screen) -> None:
        self.key, self.screen = key, screen
        self.reported = False
        self.consequence = {
            "warn": f"The run goes on; {option} stop or rollback would keep {kept}.",
            "stop": "The run ends here.",
            "rollback": f"The run goes on; if it ends like this, {kept} are restored.",
        }[action]

    def report(self, finding: str, write_line: WriteLine) -> None:
        """Say what is wrong and what follows, the first time."""
        if not self.reported:
            self.say(f"{finding} {self.consequence}", write_line)
        self.reported = True

    def say(self, message: str, write_line: WriteLine) -> None:
        """To the log and the screen."""
        write_line({self.key: message})
        self.screen.warn(message)
