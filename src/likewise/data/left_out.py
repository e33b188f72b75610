"""Files of a set that are no examples: why, and how many of them are too many."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from likewise.counts import amount
from likewise.errors import FilesLeftOut

MAX_BAD = 0.01
"""Share of the files that may be unreadable, unless another is given."""


class Skipped(NamedTuple):
    """A file that is no example, and why."""

    id: str
    reason: str
    unread: bool = True
    """whether it was to be one and cannot be read; False: it was passed over, such as a video among images"""


def require_all_read(skipped: Mapping[str, str]) -> None:
    """Refuse that files were left out.

    Args:
        skipped: their ids, each with the reason.

    Raises:
        FilesLeftOut: there are some.
    """
    if skipped:
        raise FilesLeftOut(
            f"{amount(len(skipped), 'file')} left out (--strict). {some_files(skipped)}"
        )


def some_files(skipped: Mapping[str, str], limit: int = 5) -> str:
    """The first of some files that were not read, and the reason for each, as a sentence."""
    some = "; ".join(f"{name} ({reason})" for name, reason in list(skipped.items())[:limit])
    rest = len(skipped) - limit
    more = f"; and {rest:,} more" if rest > 0 else ""
    return f"Not read: {some}{more}."


def require_few_unread(
    unread: Mapping[str, str], files: int, max_bad: float, listed_in: Path | None = None
) -> None:
    """Refuse a set of which too much cannot be read.

    Args:
        unread: ids of those files, each with the reason.
        files: how many files there are, with those.
        max_bad: share that is allowed, 0 to 1.
        listed_in: a file that lists them all.

    Raises:
        FilesLeftOut: more than that share cannot be read.
    """
    if len(unread) <= max_bad * files:
        return
    share = len(unread) / files
    listed = f" All are listed in {listed_in}." if listed_in is not None else ""
    raise FilesLeftOut(
        f"{len(unread):,} of {amount(files, 'image')} cannot be read ({share:.1%}), more than --max-bad {max_bad:g} "
        f"allows. {some_files(unread)}{listed} Fetch those files again or delete them; or allow more, for instance "
        f"--max-bad {min(2 * share, 1):.2g}."
    )
