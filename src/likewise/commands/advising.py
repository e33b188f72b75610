"""Which classifier to have: advise."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from likewise.commands.words import DataArgument, parse
from likewise.data.columns.column_names import MissingLabels
from likewise.data.left_out import MAX_BAD
from likewise.training.launch import DeviceKind


@dataclass(frozen=True)
class Advise:
    """Find the best classifier that these images and labels allow within a time, and what to expect of it."""

    data: DataArgument
    """folder, file or built-in data set"""
    labels: str = "all"
    """a CSV of paths and labels; or how many labels are visible: all, 10 (for each class), total:4000, 1%"""
    time: str = "20m"
    """seconds, minutes or hours that it may take: 90s, 20m, 2h"""
    out: str | None = None
    """folder for the classifier, advice.json and the page; default: runs/<data>-advice"""
    budget: str = "all"
    """how many labels are visible where --labels names a CSV file: all, 10 (for each class), total:4000, 1%"""
    device: DeviceKind = "auto"
    """where networks compute"""
    path_column: str | None = None
    """column of a CSV that holds the paths, by name, or by number from 1 where there is no heading"""
    label_column: str | None = None
    """column of a CSV, a table or Parquet files that holds the labels"""
    group_column: str | None = None
    """column of a CSV, a table or Parquet files that says which rows belong together; these are never divided between
    folds"""
    missing_labels: MissingLabels = "unlabelled"
    """what NaN, NA, N/A, None and null mean as a label: unlabelled, or a class of that name"""
    pixel_range: tuple[float, float] | None = None
    """values of pixels of more than 8 bits that become black and white; default: found in the images"""
    max_bad: float = MAX_BAD
    """share of the files that may be unreadable, 0 to 1; they are left out and named, and above this share nothing is
    tried"""
    seed: int = 0
    """seed of folds, weights, views and the choice of visible labels"""
    overwrite: bool = False
    """replace an earlier advice in the output folder"""


def advise(words: list[str]) -> None:
    """``likewise advise DATA --labels labels.csv --time 20m``."""
    from likewise.advice.advise import advise as find

    given = dict(vars(parse(Advise, words, "likewise advise")))
    found = find(given.pop("data"), **given, console=Console())
    print(f"classifier {found.folder}\npage       {found.folder / 'advice.html'}")
    print(
        f"use it     likewise predict {found.folder} NEW/ --out predictions.csv\nfor longer {found.command}"
    )
