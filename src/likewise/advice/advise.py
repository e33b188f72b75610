"""``likewise.advise``: the best classifier that images, labels and a stated time allow."""

from __future__ import annotations

import shlex
import time as system_time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from likewise.advice.advice import Advice
from likewise.advice.clock import Clock, in_words, parse_time
from likewise.advice.opened_data import open_labelled
from likewise.advice.session import Session
from likewise.data.columns.column_names import ColumnNames, MissingLabels
from likewise.data.left_out import MAX_BAD
from likewise.errors import LikewiseError
from likewise.field_types import SEED, SHARE, checked_arguments
from likewise.randomness import restored_rng
from likewise.runs.data_name import another_folder, free_folder
from likewise.training.launch import DeviceKind, choose_device
from likewise.write_lock import is_empty, only_writer_in

LONGER = 3
"""times the time, in the command for a longer advice"""


@checked_arguments(seed=SEED, max_bad=SHARE)
@restored_rng()
def advise(
    data: Any,
    labels: Any = "all",
    time: str | float = "20m",
    out: str | Path | None = None,
    *,
    budget: str = "all",
    device: DeviceKind = "auto",
    seed: int = 0,
    overwrite: bool = False,
    path_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    missing_labels: MissingLabels = "unlabelled",
    pixel_range: tuple[float, float] | None = None,
    max_bad: float = MAX_BAD,
    console: Console | None = None,
    now: Callable[[], float] = system_time.monotonic,
) -> Advice:
    """Try ways to a classifier on these images and labels, within a time, and save the best with what to expect of it.

    >>> advice = likewise.advise("photos/", labels="labels.csv", time="10m")
    >>> advice.sentence, advice.classifier

    Every arm is measured by cross-validation within the visible labels, on the same folds. The test and validation
    parts of the data are not used, and hidden labels are never read.

    Args:
        data: as for `likewise.train`: a folder, a CSV, Parquet or tar files, arrays, a data set.
        labels: a CSV of paths and labels; one label for each image; or how many of the data's own labels are visible:
            ``all``, ``10`` (a class), ``1%``.
        time: seconds, or with a unit: ``90s``, ``20m``, ``2h``.
        out: folder for the classifier, ``advice.json`` and the page; None: a free ``runs/<data>-advice``.
        budget: how many labels of a CSV are visible.
        device: where networks compute.
        seed: of folds, weights and views.
        overwrite: replace an earlier advice in the folder.
        path_column: of a CSV, by name or by number from 1.
        label_column: of a CSV, a table or Parquet files.
        group_column: of a CSV, a table or Parquet files; images of one group are in one fold.
        missing_labels: what NaN, NA, N/A, None and null mean as a label.
        pixel_range: values of pixels of more than 8 bits that become black and white; None: found in the images.
        max_bad: share of the files, 0 to 1, that may be unreadable; they are left out, and a note names them.
        console: prints progress and the result; None: nothing is printed.
        now: the time in seconds, for tests.

    Raises:
        LikewiseError: no labels, labels of one class, or a time in which nothing can be tried.
        FilesLeftOut: more files are unreadable than ``max_bad`` allows.
        Interrupted: Ctrl-C; what was found by then is in the folder.
    """
    clock = Clock(parse_time(time), now)
    columns = ColumnNames(
        label_column, group_column, path=path_column, missing_labels=missing_labels
    )
    opened = open_labelled(data, labels, budget, seed, columns, pixel_range)
    folder = Path(out) if out is not None else free_folder(data, "advice")
    if folder.is_dir() and not is_empty(folder) and not overwrite:
        raise LikewiseError(
            f"The folder {folder} is not empty. Replace an earlier advice in it with --overwrite, or choose another, "
            f"for instance --out {folder}-2."
        )
    quiet = Console(quiet=True)
    options = {
        "labels": _typed_labels(labels),
        "budget": "" if budget == "all" else budget,
        "path-column": path_column,
        "label-column": label_column,
        "group-column": group_column,
        "missing-labels": "" if missing_labels == "unlabelled" else missing_labels,
        "pixel-range": pixel_range,
        "max-bad": "" if max_bad == MAX_BAD else f"{max_bad:g}",
        "seed": str(seed) if seed else "",
        "device": "" if device == "auto" else device,
        "time": in_words(LONGER * clock.seconds),
        "out": "" if out is None else another_folder(folder),
    }
    with only_writer_in(folder):
        where = choose_device(device)
        session = Session(opened, folder, clock, where, seed, console or quiet, max_bad)
        return session.run(_command(data, options), overwrite)


def _typed_labels(labels: Any) -> str:
    """Labels as an option has them; what is no text, number or path cannot be typed."""
    if not isinstance(labels, str | int | Path):
        return "LABELS"
    return "" if labels == "all" else str(labels)


def _command(data: Any, options: Mapping[str, Any]) -> str:
    """What to type for an advice with some options; those without a value are left out."""
    words = ["likewise", "advise", str(data) if isinstance(data, str | Path) else "DATA"]
    for name, value in options.items():
        if value:
            values = value if isinstance(value, tuple) else [value]
            words += [f"--{name}", *(f"{v:g}" if isinstance(v, float) else str(v) for v in values)]
    return shlex.join(words)
