"""Labels for images without one: pseudo-label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from likewise.commands.words import DataArgument, parse, say_skipped, spell_out
from likewise.counts import amount
from likewise.data.columns.column_names import MissingLabels
from likewise.data.left_out import MAX_BAD
from likewise.runs.pseudo_labels import By
from likewise.training.launch import DeviceKind

Adaptations = Annotated[tuple[str, ...], tyro.conf.arg(metavar="ADAPT [ADAPT ...]")]


@dataclass(frozen=True)
class PseudoLabel:
    """Label the training images without a label from a pretrained encoder and the labels of the others.

    The file is for likewise train --labels. Validation and test images are held out as train does it; they have their
    own labels in the file.
    """

    data: DataArgument
    """folder, file or built-in data set of images"""
    labels: str = "all"
    """a CSV of paths and labels; or how many labels are visible: all, 10 (for each class), total:4000, 1%"""
    out: str = "pseudo_labels.csv"
    """CSV file of path, label, probability and split; the probability of a label that was given is empty"""
    by: By = "ensemble"
    """ensemble: the encoder is adapted to the labels in several ways, and each outcome votes (after V-PET); the
    probability is the share of the votes. propagation: labels spread among neighbours of frozen features"""
    min_probability: float = 0.0
    """a less probable pseudo-label is left empty"""
    adaptations: Adaptations = ("lora", "last:2", "full")
    """ways of adapting the encoder, a vote each, with --by ensemble: frozen, lora, lora:RANK, last:N, full,
    full:DECAY"""
    steps: int = 300
    """optimiser steps of each way"""
    batch_size: int = 32
    """labelled images of a step"""
    pretrained: str | None = None
    """weights to start from: lite0, timm (timm's own, with --encoder), or a local file. Default: lite0, or the run of
    --from"""
    encoder: str = "auto"
    """network, also called backbone; auto is that of the weights"""
    from_run: str | None = None
    """run folder whose encoder is the start; typed --from"""
    image_size: int | None = None
    """side of the images that the network sees, in pixels; default: small images as they are, photographs at 128"""
    budget: str = "all"
    """how many labels are visible where --labels names a CSV file: all, 10 (for each class), total:4000, 1%"""
    path_column: str | None = None
    """column of a CSV that holds the paths, by name, or by number from 1 where there is no heading"""
    label_column: str | None = None
    """column of a CSV, a table or Parquet files that holds the labels"""
    group_column: str | None = None
    """column of a CSV, a table or Parquet files that says which rows belong together; these are in one split"""
    missing_labels: MissingLabels = "unlabelled"
    """what NaN, NA, N/A, None and null mean as a label: unlabelled, or a class of that name"""
    pixel_range: tuple[float, float] | None = None
    """values of pixels that become black and white, where they have more than 8 bits; default: found in the set"""
    max_bad: float = MAX_BAD
    """share of the files, 0 to 1, that may be unreadable; they get no label"""
    val_fraction: float = 0.1
    """share of the labelled training images that validates, 0 to 1, where the data have no val split"""
    test_fraction: float = 0.2
    """share of the labelled images that tests, 0 to 1, where the data have no test split"""
    device: DeviceKind = "auto"
    """where networks compute"""
    seed: int = 0
    """seed of held-out parts, the choice of visible labels, and what is drawn in training"""
    overwrite: bool = False
    """replace the file if it is there"""


def pseudo_label(words: list[str]) -> None:
    """``likewise pseudo-label DATA --labels labels.csv --out pseudo_labels.csv``."""
    from likewise.runs.pseudo_labels import pseudo_label as label

    given = dict(vars(parse(PseudoLabel, spell_out(words), "likewise pseudo-label")))
    given = {name: value for name, value in given.items() if value is not None}
    found = label(given.pop("data"), **given)
    print(
        f"{amount(found.made, 'pseudo-label')}, {amount(found.unsure, 'image')} left without one -> {given['out']}"
    )
    say_skipped(found.unread, "could not be read, so they get no pseudo-label", strict=False)
