"""Predictions from vectors that the classifier's encoder made earlier, so that no image is decoded again."""

from __future__ import annotations

from pathlib import Path

from likewise.classification.judging import Judge
from likewise.classification.prediction_file import Sink
from likewise.encoders.weights_hash import weights_hash
from likewise.errors import LikewiseError
from likewise.vectors import VectorIndex


def open_vectors(path: Path, judge: Judge, folder: str | Path) -> VectorIndex:
    """The vectors at a path, which the encoder in a folder must have made.

    Raises:
        LikewiseError: another encoder made them, or a part is missing.
    """
    index = VectorIndex(path)
    if index.encoder != weights_hash(judge.encoder):
        raise LikewiseError(
            f"The vectors in {path} come from another encoder than that of {folder}. Embed the images with this one: "
            f"likewise embed {folder} IMAGES --out vectors.parquet"
        )
    return index


def predict_vectors(judge: Judge, index: VectorIndex, sink: Sink) -> None:
    """Rows of the vectors that have none yet, in their order; then of the files that have no vector."""
    first = 0
    for ids, vectors in index.blocks_with_ids():  # [b, D]
        done = min(max(sink.written - first, 0), len(ids))
        if done < len(ids):
            sink.append(judge.of_features(vectors[done:], ids[done:]))
        first += len(ids)
    lost = list(index.skipped.items())[max(sink.written - first, 0) :]
    sink.append([judge.unread(name, reason) for name, reason in lost])
    sink.finish()
