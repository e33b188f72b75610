"""A file of labels in which images without one have a pseudo-label."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.csv as arrow_csv
import torch
from torch import Tensor

from likewise.adaptation import Adaptation, ensemble_votes, propagate_labels
from likewise.adaptation.ensemble import VOTERS
from likewise.atomic_write import atomic_write
from likewise.classification.csv_cells import cells_of
from likewise.data.batch import UNLABELLED
from likewise.data.readable_rows import readable_rows
from likewise.data.splits import Split
from likewise.encoders import build_encoder
from likewise.errors import LikewiseError, WrongArgument
from likewise.evaluation.features import extract
from likewise.field_types import SHARE, SIZE, checked_arguments
from likewise.runs.api import prepare
from likewise.runs.prepare import Prepared
from likewise.training.launch import DeviceKind, choose_device
from likewise.views.centre_view import CentreView
from likewise.write_lock import only_writer

By = Literal["ensemble", "propagation"]


class PseudoLabelled(NamedTuple):
    """What a file of pseudo-labels holds."""

    table: pa.Table
    """a row an image: path, label, probability, split. The probability of a label that was given is null; an image
    without a label, because its pseudo-label is not probable enough, has an empty label and that probability"""
    made: int
    """images with a pseudo-label"""
    unsure: int
    """images without one"""
    unread: dict[str, str]
    """ids of training images that cannot be decoded, each with the reason; they keep the label that they had"""


@checked_arguments(min_probability=SHARE, steps=SIZE, batch_size=SIZE)
def pseudo_label(
    data: Any,
    labels: Any = "all",
    out: str | Path | None = None,
    *,
    by: By = "ensemble",
    min_probability: float = 0.0,
    adaptations: Sequence[str] = VOTERS,
    steps: int = 300,
    batch_size: int = 32,
    device: DeviceKind = "auto",
    overwrite: bool = False,
    **settings: Any,
) -> PseudoLabelled:
    """Label the training images without a label from a pretrained encoder and the labels of the others.

    >>> likewise.pseudo_label("photos/", labels="labels.csv", out="pseudo_labels.csv")
    >>> likewise.train("photos/", labels="pseudo_labels.csv", method="cross-entropy", pretrained="lite0", adapt="full")

    Validation and test images are held out as a run does it. They have their own labels and their split in the file, so
    that a run on it is scored by true labels alone. Images that cannot be decoded get no pseudo-label.

    Args:
        data: as for `likewise.train`.
        labels: those that are visible.
        out: a CSV file; None: no file.
        by: ``ensemble``: adapted encoders vote (`likewise.adaptation.ensemble_votes`), and the probability is the share
            of the votes. ``propagation``: labels spread among neighbours of frozen features
            (`likewise.adaptation.propagate_labels`).
        min_probability: a less probable pseudo-label is left empty.
        adaptations: a voter each.
        steps: optimiser steps of a voter.
        batch_size: labelled images of a step.
        device: where to compute.
        overwrite: replace the file if it is there.
        settings: any field of `likewise.runs.settings.TrainSettings` about the data and the encoder. Without
            ``pretrained`` and ``from_run`` it starts from lite0.

    Raises:
        FilesLeftOut: more files cannot be read than ``max_bad`` allows.
        LikewiseError: an argument cannot be used, or there is nothing to start from.
    """
    file = None if out is None else _free_file(Path(out), overwrite)
    ways = [Adaptation.parse(each) for each in adaptations]
    if not settings.get("from_run"):
        settings = {"pretrained": "lite0", **settings}
    with nullcontext() if file is None else only_writer(file):
        prepared = prepare(data, labels, "cross-entropy", device=device, **settings)
        if not prepared.encoder.pretrained:
            raise LikewiseError(
                "Pseudo-labels need a trained encoder, but this one starts from random weights. Give --pretrained "
                "lite0 or --from RUN."
            )
        where = choose_device(device)
        known = _readable(prepared)
        if by == "ensemble":
            probabilities = _votes(prepared, known, ways, steps, batch_size, where)
        else:
            probabilities = _propagated(prepared, known, where)
        found = _table(prepared, known, probabilities, min_probability)
        if file is not None:
            with atomic_write(file) as unfinished:
                arrow_csv.write_csv(cells_of(found.table), unfinished)
    return found


def _free_file(file: Path, overwrite: bool) -> Path:
    if file.suffix.lower() != ".csv":
        raise WrongArgument(
            "out", str(file), "is no CSV file. Give one, for instance pseudo_labels.csv."
        )
    if file.exists() and not overwrite:
        raise LikewiseError(
            f"{file} is there already. Replace it with --overwrite, or choose another file."
        )
    return file


class _Readable(NamedTuple):
    """The training images that can be decoded."""

    train: Split
    visible_labels: Tensor
    """int64 [N], -1 where none is visible"""
    positions: Tensor
    """int64 [N], theirs among all training images"""


def _readable(prepared: Prepared) -> _Readable:
    """Leave out what cannot be decoded.

    Raises:
        FilesLeftOut: it is more than ``max_bad`` of the files.
        LikewiseError: no labelled image of some class is left.
    """
    train, images = prepared.train, prepared.train.images
    labels, left_out = prepared.visible_labels, prepared.manifest.unread
    files = len(prepared.manifest) + len(left_out)
    positions = readable_rows(
        train.manifest,
        images,
        labels,
        train.manifest.class_names,
        left_out,
        files,
        prepared.settings.max_bad,
    )
    return _Readable(train.take(positions), labels[positions], positions)


def _votes(
    prepared: Prepared,
    known: _Readable,
    adaptations: Sequence[Adaptation],
    steps: int,
    batch_size: int,
    device: torch.device,
) -> Tensor:
    """The share of the votes of each class, float [N, K]."""
    votes = ensemble_votes(
        build_encoder(prepared.encoder), known.train.images, known.visible_labels,
        prepared.manifest.classes, adaptations, steps=steps, batch_size=batch_size,
        seed=prepared.settings.seed, device=device, image_size=prepared.encoder.image_size,
    )  # fmt: skip
    return votes.shares


def _propagated(prepared: Prepared, known: _Readable, device: torch.device) -> Tensor:
    """Class probabilities by label propagation, float [N, K]."""
    images, labels = known.train.images, known.visible_labels
    view = CentreView(prepared.encoder.image_size)
    encoder = build_encoder(prepared.encoder)
    features = extract(encoder, images, torch.arange(len(images)), view, device=device)
    return propagate_labels(features, labels, prepared.manifest.classes)


def _table(
    prepared: Prepared, readable: _Readable, probabilities: Tensor, least: float
) -> PseudoLabelled:
    given = readable.visible_labels != UNLABELLED
    highest = probabilities.max(dim=1)
    sure = ~given & (highest.values >= least)
    labels = highest.indices.where(sure, readable.visible_labels)
    known = highest.values.masked_fill(given, torch.nan)
    names = prepared.manifest.class_names
    parts = [_rows(readable.train, labels, names, "train", known)]
    is_lost = torch.ones(len(prepared.visible_labels), dtype=torch.bool)
    is_lost[readable.positions] = False
    lost = is_lost.nonzero().flatten()
    if len(lost):
        visible = prepared.visible_labels[lost]
        parts.append(_rows(prepared.train.take(lost), visible, names, "train", None))
    for split in ("val", "test"):
        if split in prepared.splits:
            held_out = prepared.splits[split]
            parts.append(_rows(held_out, held_out.labels, names, split, None))
    unsure = int((~given & ~sure).sum())
    unread = dict(prepared.train.images.unreadable)
    return PseudoLabelled(pa.concat_tables(parts), int(sure.sum()), unsure, unread)


def _rows(
    split: Split, labels: Tensor, names: Sequence[str], name: str, probabilities: Tensor | None
) -> pa.Table:
    """Rows of one split; the probability is null where none is known."""
    count = len(labels)
    known = [None] * count if probabilities is None else probabilities.tolist()
    return pa.table(
        {
            "path": pa.array(list(split.manifest.ids), pa.string()),
            "label": ["" if number == UNLABELLED else names[number] for number in labels.tolist()],
            "probability": pa.array(known, pa.float64(), from_pandas=True),
            "split": [name] * count,
        }
    )
