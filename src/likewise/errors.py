"""Errors that a user can fix, printed as one message without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path


class LikewiseError(Exception):
    """An argument or a file cannot be used.

    The message says what was given, what is allowed and what to type instead. The command line prints only the message
    and exits with ``exit_code``: 2 for misuse, 1 for I/O errors such as a full disk.
    """

    exit_code = 2


class EnvironmentIOError(LikewiseError):
    """The request was correct, but the machine could not carry it out."""

    exit_code = 1


class WrongArgument(LikewiseError):
    """An argument of a public function has a type or a value that it does not take.

    Args:
        name: of the argument.
        value: what was given, as text.
        reason: what follows it in the message.
    """

    def __init__(self, name: str, value: str, reason: str) -> None:
        super().__init__(f"{name}={value} {reason}")
        self.option = f"--{name.replace('_', '-')}"
        """what the command line calls it, if it is one of its options"""
        self.as_option = f"{self.option} {value} {reason}"
        """the message for the command line"""


class DamagedFile(LikewiseError):
    """A file that likewise wrote was cut short or changed.

    Args:
        path: the file.
        reason: what is wrong with it.
        remedy: what to do, as a sentence.
    """

    exit_code = 1

    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        super().__init__(f"{path} is damaged: {reason}. {remedy}")
        self.reason = reason


class SaidByFirstRank(LikewiseError):
    """The first of several processes has ended with an error and its message; this one ends with it, silently.

    Args:
        exit_code: of the first process.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__("the first process has ended with an error, which it has printed.")
        self.exit_code = exit_code


class FilesLeftOut(LikewiseError):
    """Files could not be read, and ``--strict`` asks for an error then. What could be made has been written."""

    exit_code = 1


class NothingReadable(LikewiseError):
    """None of some images can be decoded."""

    def __init__(self, message: str, unreadable: Mapping[str, str]) -> None:
        super().__init__(message)
        self.unreadable = dict(unreadable)
        """their ids, each with the reason"""


class DataNotFound(LikewiseError):
    """There is no file or folder, and no data set of a name."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence for the end of a message: the closest known word, and all known words."""
    options = sorted(known)
    begun = [option for option in options if word and option.startswith(word)]
    close = begun or difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    listing = f"Known: {', '.join(options)}."
    return f"Did you mean {close[0]!r}? {listing}" if close else listing
