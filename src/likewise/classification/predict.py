"""Classes of new images, each with a calibrated probability and whether it may be trusted."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv
import torch
from rich.console import Console
from torch import nn

from likewise.classification.csv_cells import cells_of
from likewise.classification.judging import Judge, judge_of
from likewise.classification.known_labels import KnownAccuracy, KnownLabels
from likewise.classification.predict_vectors import open_vectors, predict_vectors
from likewise.classification.prediction_file import (
    COLUMNS,
    PredictionFile,
    Row,
    RowsInMemory,
    Sink,
    read_predictions,
)
from likewise.classification.selective import Threshold
from likewise.counts import amount
from likewise.data.images import Images
from likewise.data.manifest import Manifest
from likewise.data.open_images import open_images, stored_size
from likewise.data.pixel_range import say_pixels
from likewise.data.sources.open import open_for_encoder
from likewise.data.video.clip_frames import open_frames
from likewise.data.video.clip_reading import with_clips
from likewise.encoders import EncoderSettings
from likewise.encoders.stored_encoder import encoder_settings_of
from likewise.evaluation.features import read_ahead
from likewise.run_folder import RunFolder
from likewise.vectors import has_vectors

PRECISE = 0.95
"""the precision of what is not unsure, unless another is stated"""


@dataclass(frozen=True)
class Predictions:
    """Predicted classes of some data."""

    threshold: Threshold | None
    """from which probability on a class is sure, and why; None of several classes an image, or of numbers"""
    path: Path | None = None
    """the file that they are in, if they are in one"""
    continued_from: int = 0
    """rows that an earlier, interrupted call had written already"""
    started_again: bool = False
    """whether an earlier call's rows were of another classifier, other data or another precision, and were dropped"""
    known: KnownLabels | None = field(default=None, repr=False)
    """labels that the images bring, against which the predictions can be checked"""
    _rows: pa.Table | None = field(default=None, repr=False)
    _columns: pa.Schema = field(default=COLUMNS, repr=False)

    @cached_property
    def table(self) -> pa.Table:
        """Columns path, class, probability, runner_up, unsure, unlike and error; a row an image.

        Of several classes an image: path, classes, a probability for each class, unlike and error. Of numbers: path,
        each number with the ends of its 90 % interval, unlike and error.
        """
        if self._rows is not None:
            return self._rows
        assert self.path is not None
        return read_predictions(self.path, self._columns)

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def accuracy(self) -> KnownAccuracy | None:
        """How often they are right on images that have a label; None where none has one that was learned."""
        return self.known.accuracy(self.table) if self.known and self.threshold else None

    def to_pandas(self) -> Any:
        """The table as a pandas DataFrame."""
        return self.table.to_pandas()

    def to_csv(self, path: str | Path) -> None:
        """Write the table as a CSV file; no name in it is taken for a formula."""
        arrow_csv.write_csv(cells_of(self.table), path)

    @property
    def unread(self) -> dict[str, str]:
        """Files that could not be read, each with the reason; they have no class."""
        paths, errors = self.table["path"].to_pylist(), self.table["error"].to_pylist()
        return {path: error for path, error in zip(paths, errors, strict=True) if error}

    def summary(self) -> str:
        """How many rows are sure, unsure, unlike anything learned, and without a class; and the threshold."""
        unlike = self.table["unlike"].to_pylist()
        if self.threshold is None:
            return (
                f"{amount(len(self), 'image')}{_more(sum(map(bool, unlike)), unlike.count(None))}"
            )
        counts = Counter(zip(self.table["unsure"].to_pylist(), unlike, strict=True))
        sure = sum(number for (is_unsure, _), number in counts.items() if not is_unsure)
        far, unread = counts[True, True], counts[True, None]
        unsure = len(self) - sure - far - unread
        return f"{amount(len(self), 'image')}: {sure:,} sure, {unsure:,} unsure{_more(far, unread)}; {self.threshold}"


def _more(unlike: int, unread: int) -> str:
    """How many images are unlike anything learned, and not read, where there are any."""
    parts = [f"{unlike:,} unlike anything learned"] if unlike else []
    parts += [f"{unread:,} not read"] if unread else []
    return "".join(f", {part}" for part in parts)


def predict(
    folder: str | Path,
    data: Any,
    out: str | Path | None = None,
    precise: float = PRECISE,
    overwrite: bool = False,
    batch_size: int = 256,
    module: nn.Module | None = None,
    pixel_range: tuple[float, float] | None = None,
    console: Console | None = None,
) -> Predictions:
    """Classify images with the classifier in a run's or an advice's folder.

    Images are read and classified a batch at a time. A call that was interrupted goes on where it was when it is made
    again with the same folder, data, file and precision. A file that cannot be read has a row without a class, with
    the reason as its ``error``. Files that are no images at all come last.

    Args:
        folder: where `save_classifier` wrote.
        data: images, by any door that `likewise.train` takes; or the file or folder that ``likewise embed`` wrote with
            the classifier's encoder, which then has nothing to do.
        out: a ``.csv`` or ``.parquet`` file to write; None keeps the rows in memory.
        precise: the wanted share of correct predictions, of those that are not unsure.
        overwrite: whether ``out`` may be replaced.
        batch_size: images at a time.
        module: of the shape of the encoder, for a user's module that cannot be rebuilt from its name.
        pixel_range: values that become black and white; None: those of the encoder's training.
        console: where it is said how pixels of more than 8 bits are taken; None: nowhere.

    Raises:
        LikewiseError: there is no classifier, no image, or the file exists.
    """
    settings = encoder_settings_of(folder)
    judge = judge_of(folder, settings.image_size, precise, module)
    options = {"precise": precise, "batch_size": batch_size}
    options["pixel_range"] = pixel_range and list(pixel_range)

    def open_sink(names: Sequence[str]) -> RowsInMemory | PredictionFile:
        if out is None:
            return RowsInMemory(judge.columns)
        key = {**options, **_hashes(RunFolder(folder), names)}
        file = PredictionFile(Path(out), key, overwrite, judge.columns)
        return stack.enter_context(closing(file))

    known = None
    with ExitStack() as stack:
        if has_vectors(data):
            index = open_vectors(Path(data), judge, folder)
            sink = open_sink([*index.ids(), *index.skipped])
            before = sink.written
            predict_vectors(judge, index, sink)
        else:
            manifest = _listed(data, settings, pixel_range)
            say_pixels(manifest, console)
            known = KnownLabels.of(manifest, judge.class_names)
            sink = open_sink([*manifest.ids, *manifest.left_out])
            before = sink.written
            _predict(judge, _images(manifest, settings), manifest, sink, batch_size)
        return replace(_finished(sink, judge, before), known=known)


def _listed(
    data: Any, settings: EncoderSettings, pixel_range: tuple[float, float] | None
) -> Manifest:
    """The images, not yet decoded, as the encoder sees them."""
    known = pixel_range or settings.given_range
    opened = open_for_encoder(data, settings.pixel_range, known)
    return with_clips(opened, settings.clip_sampling, settings.image_size, region=settings.region)


def _finished(sink: RowsInMemory | PredictionFile, judge: Judge, before: int) -> Predictions:
    if isinstance(sink, RowsInMemory):
        return Predictions(judge.threshold, _rows=sink.table())
    return Predictions(
        judge.threshold, sink.out, before, sink.started_again, _columns=judge.columns
    )


def _predict(judge: Judge, images: Images, manifest: Manifest, sink: Sink, batch_size: int) -> None:
    """Rows of the images that have none yet, in their order; then of the files that are no images."""
    ids = list(manifest.ids)
    left = torch.arange(min(sink.written, len(ids)), len(ids))
    batches = [batch for batch in left.split(batch_size) if len(batch)]
    for batch, found in zip(batches, read_ahead(images.readable, batches), strict=True):
        read = found.positions.tolist()
        rows: dict[int, Row] = {}
        if read:
            judged = judge(found.pixels, [ids[position] for position in read])
            rows = dict(zip(read, judged, strict=True))
        for position in batch.tolist():
            if position not in rows:
                rows[position] = judge.unread(ids[position], images.unreadable[ids[position]])
        sink.append([rows[position] for position in batch.tolist()])
    left_out = list(manifest.left_out.items())[max(sink.written - len(ids), 0) :]
    sink.append([judge.unread(name, reason) for name, reason in left_out])
    sink.finish()


def _images(manifest: Manifest, settings: EncoderSettings) -> Images:
    """Images that are read on demand, so that memory does not grow with their number."""
    if settings.frames > 1:
        return open_frames(manifest, settings.image_size, settings.channels, settings.frames)
    return open_images(
        manifest, stored_size(manifest, settings.image_size), settings.channels, memory_limit=0
    )


def _hashes(folder: RunFolder, names: Sequence[str]) -> dict[str, str]:
    """Of the classifier and of the ids of the images."""
    classifier, listed = hashlib.sha256(), hashlib.sha256()
    for path in (folder.weights, folder.classifier_weights, folder.classifier):
        classifier.update(path.read_bytes())
    for name in names:
        listed.update(f"{name}\n".encode(errors="backslashreplace"))
    return {"classifier": classifier.hexdigest(), "data": listed.hexdigest()}
