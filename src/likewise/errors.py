"""Mistakes that the person at the keyboard can mend, told in one message without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LikewiseError(Exception):
    """Something was given that cannot be used.

    The message says what was given, what is allowed and what to type instead. The command line prints it alone
    and leaves with ``exit_code``: 2 for misuse, 1 where the machine is at fault (a full disk, say).
    """

    exit_code = 2


class EnvironmentIOError(LikewiseError):
    """The request was right, but the machine could not carry it out."""

    exit_code = 1


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that names the closest known word, or lists them all: for the end of a message."""
    options = sorted(known)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    listing = f"Known: {', '.join(options)}."
    return f"Did you mean {close[0]!r}? {listing}" if close else listing
