"""``likewise.evaluate``: any encoder, or any matrix of features, scored by the protocols of a run's final scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn

from likewise.data.batch import UNLABELLED
from likewise.data.data_settings import DataSettings
from likewise.data.images import Images, default_channels, default_size, stored_size
from likewise.data.manifest import Manifest, class_counts
from likewise.data.pixel_source import ArrayPixels
from likewise.data.sources.open import open_manifest
from likewise.data.sources.read_labels import listed, numbered
from likewise.data.video.clip_frames import open_frames
from likewise.encoders import Encoder, EncoderSettings, load_encoder
from likewise.encoders.build import encoder_settings_of
from likewise.errors import LikewiseError, did_you_mean
from likewise.evaluation.evaluate_features import FeatureSource, Part, Targets, evaluate_features, group_numbers
from likewise.evaluation.evaluation import Evaluation, EvaluationSettings
from likewise.evaluation.features import extract, extract_readable
from likewise.evaluation.metrics.few_label import FewLabel
from likewise.evaluation.metrics.knn import Knn
from likewise.evaluation.metrics.linear_probe import LinearProbe
from likewise.evaluation.readable_splits import unread_note
from likewise.run_folder import RunFolder
from likewise.vectors import Vectors, read_vectors
from likewise.views.policies import CentreView

Measure = Literal["knn", "linear", "few_label", "label_free"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
PARTS: tuple[Part, ...] = get_args(Part)

RESERVED = ("differences", "label_free", "calibration", "notes", "unread", "encoder")
"""Names that `Evaluation.to_json` uses itself, so that no baseline can have them."""


HELD_OUT = DataSettings.test_fraction
"""Share of each class that is measured on where neither the data nor the caller says what is, as in training."""


class _Network(NamedTuple):
    """An encoder of images, and what it asks of them."""

    network: nn.Module
    """float [B, C, H, W] in [0, 1] -> [B, D]"""
    image_size: int | None = None
    """pixels along a side; None: chosen from the data"""
    channels: int | None = None
    """colour channels; None: as the images have"""


class _Matrix(NamedTuple):
    """Features that are already there."""

    vectors: Tensor
    """float32 [N, D]"""
    labels: Any = None
    """the labels that came with them, or None"""
    train_rows: int | None = None
    """how many of the first rows are training features, where two matrices were given"""


def evaluate(
    encoder: Any,
    data: Any = None,
    labels: Any = None,
    test: Any = None,
    *,
    measures: Sequence[Measure] = MEASURES,
    baseline: Any = None,
    k: int = 20,
    few_labels: Sequence[int] = (2, 4, 10, 50),
    image_size: int | None = None,
    channels: int | None = None,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    seed: int = 0,
) -> Evaluation:
    """Score an encoder, or features, by nearest neighbours, linear probes and label-free measures.

    >>> likewise.evaluate(network, "photos/", labels="labels.csv", test=0.2)
    >>> likewise.evaluate(features, labels=targets, test=is_test)

    The protocols are those of a run's final scores; each score's ``protocol`` states them in full. Probes and
    neighbours learn from the training part and are measured on the test part. A validation part of the data is used
    for neither.

    Args:
        encoder: what to score. A network: any ``nn.Module``, or function, from float [B, C, H, W] in [0, 1] to
            features [B, D], or to a map [B, D, h, w], whose mean over locations is taken. A run, or its folder.
            Features: a matrix [N, D] (NumPy, tensor, `Vectors`, or the file of ``likewise embed``), or a pair of
            matrices (train, test).
        data: images, as for `likewise.train`. Features need none; with data, row i belongs to example i.
        labels: N classes, as numbers or names (-1, None or "" is unlabelled); of a pair of matrices, a pair. With
            data, also a CSV file of image_path,label, or nothing where the data have labels.
        test: what to measure on: a share of each class, between 0 and 1, drawn by ``seed``; or bool [N], True where an
            example belongs to the test part; or other data. None takes the test part that the data have, or holds a
            fifth out where they have none, as `likewise.train` does.
        measures: which to take, of ``knn``, ``linear``, ``few_label`` and ``label_free``.
        baseline: another encoder or matrix, or several by name. Each gets the same scores, and each score a paired
            difference with its 95% interval.
        k: neighbours that vote.
        few_labels: labels of each class, one linear probe score for each amount.
        image_size: pixels along a side of the images that a network is given; a run has its own.
        channels: colour channels of those images, for instance 3 for a colour network on grey images.
        batch_size: images encoded at a time.
        device: where to compute features; None leaves a network where it is.
        seed: of the held-out share, the labels drawn and the validation folds of the probes.

    Raises:
        LikewiseError: the data, labels or features cannot be used, with what to give instead.
    """
    settings = _settings(measures, k, few_labels, seed)
    subject = _subject(encoder, image_size, channels)
    baselines = {name: _subject(each, image_size, channels) for name, each in _named(baseline).items()}
    manifest = _parts_of(_open(subject, data, labels, test), test, seed, _needs_labels(settings))
    _require_classes(manifest, settings)
    subjects = {name: _fitted(name, each, manifest) for name, each in {"encoder": subject, **baselines}.items()}
    first = next((name for name, each in subjects.items() if isinstance(each, _Network)), None)
    known, unread = dict[str, FeatureSource](), dict[str, str]()
    if first is not None:
        read = _read(subjects[first], manifest, batch_size, device)
        manifest, unread = manifest.take(read.rows), read.unread
        subjects = {name: _at(each, read.rows) for name, each in subjects.items()}
        known[first] = read.features.__getitem__
    train = manifest.split("train")
    held_out = manifest.split("test")
    sources = {name: known.get(name) or _source(each, manifest, batch_size, device) for name, each in subjects.items()}
    found = evaluate_features(sources, _targets(train), _targets(held_out) if len(held_out) else None, settings)
    return replace(found, unread=unread, notes=(*found.notes, *unread_note(unread)))


def _settings(measures: Sequence[str], k: int, few_labels: Sequence[int], seed: int) -> EvaluationSettings:
    for name in measures:
        if name not in MEASURES:
            raise LikewiseError(f"measures={name!r} was given. {did_you_mean(name, MEASURES)}")
    probe = LinearProbe(seed=seed)
    return EvaluationSettings(
        knn=Knn(k) if "knn" in measures else None,
        linear=probe if "linear" in measures else None,
        few_label=FewLabel(tuple(few_labels), seed=seed, probe=probe) if "few_label" in measures else None,
        label_free="label_free" in measures,
    )


def _named(baseline: Any) -> Mapping[str, Any]:
    """Baselines by name."""
    if baseline is None:
        return {}
    if not isinstance(baseline, Mapping):
        return {"baseline": baseline}
    for name in baseline:
        if name in RESERVED:
            raise LikewiseError(f"baseline={{{name!r}: ...}} was given, but that name is taken. Choose another one.")
    return baseline


def _subject(given: Any, image_size: int | None, channels: int | None) -> _Network | _Matrix:
    """What was given to be scored, as a network or as features."""
    if isinstance(given, nn.Module):
        return _Network(_Pooled(given), image_size, channels)
    if isinstance(given, Vectors):
        return _Matrix(_float_matrix(given.vectors), given.labels)
    if isinstance(given, (np.ndarray, Tensor)):
        return _Matrix(_float_matrix(given))
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return _pair(*given)
    if isinstance(given, (str, Path)) and Path(given).suffix == ".parquet":
        vectors = read_vectors(Path(given))
        return _Matrix(_float_matrix(vectors.vectors), vectors.labels)
    if isinstance(given, (str, Path)):
        return _network_of_run(*load_encoder(RunFolder(given).require().path), image_size, str(given))
    folder = getattr(given, "folder", None)
    if isinstance(folder, RunFolder):
        run: Any = given  # a Run, whose encoder may be a user's module
        return _network_of_run(run.encoder, encoder_settings_of(folder.path), image_size, str(folder.path))
    if callable(given):
        return _Network(_Pooled(given), image_size, channels)
    raise LikewiseError(
        f"evaluate() was given an encoder of type {type(given).__name__}; allowed: an nn.Module, a function of images, "
        f"a run or its folder, a matrix of features [N, D], or a pair of matrices (train, test)."
    )


def _network_of_run(encoder: Encoder, settings: EncoderSettings, image_size: int | None, path: str) -> _Network:
    if settings.frames > 1:
        raise LikewiseError(f"{path} learned from videos. Score it with likewise.load({path!r}).evaluate(data).")
    if image_size not in (None, settings.image_size):
        raise LikewiseError(
            f"image_size={image_size} was given, but the encoder of {path} reads images of {settings.image_size} "
            f"pixels. Leave image_size out."
        )
    return _Network(encoder, settings.image_size, settings.channels)


def _pair(train: Any, test: Any) -> _Matrix:
    """Training features above test features."""
    first, second = _float_matrix(train), _float_matrix(test)
    if first.shape[1] != second.shape[1]:
        raise LikewiseError(
            f"Training features have {first.shape[1]} columns and test features {second.shape[1]}; they must be the "
            f"same features of other examples."
        )
    return _Matrix(torch.cat([first, second]), train_rows=len(first))


def _float_matrix(given: Any) -> Tensor:
    """Float32 [N, D] on the CPU.

    Raises:
        LikewiseError: another shape, or values that are not finite.
    """
    vectors = torch.as_tensor(given).detach().cpu().float()
    if vectors.ndim != 2 or not vectors.numel():
        raise LikewiseError(
            f"Features of shape {list(vectors.shape)} were given; allowed: [N, D], one row an example. Images belong "
            f"into data=; maps [N, D, h, w] can be given as features.mean((2, 3))."
        )
    bad = (~vectors.isfinite().all(dim=1)).nonzero().flatten()
    if len(bad):
        rows = ", ".join(map(str, bad[:5].tolist()))
        raise LikewiseError(
            f"{len(bad):,} of {len(vectors):,} rows of the features hold NaN or infinity (rows {rows}"
            f"{', ...' if len(bad) > 5 else ''}). Leave those rows and their labels out: "
            f"keep = numpy.isfinite(features).all(axis=1)."
        )
    return vectors


class _Pooled(nn.Module):
    """A network or a function, whose maps are averaged over locations and whose output is checked."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function  # registered as a part where it is a module, so that it goes to eval mode

    def forward(self, pixels: Tensor) -> Tensor:
        """Float [B, C, H, W] in [0, 1] -> [B, D]."""
        try:
            found = self.function(pixels)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise LikewiseError(
                f"The encoder failed on images of shape {list(pixels.shape)}: {reason}. Give the size and channels "
                f"that it reads, for instance image_size=224, channels=3."
            ) from error
        features = torch.as_tensor(found) if isinstance(found, (np.ndarray, Tensor)) else None
        if features is None or features.ndim not in (2, 4) or len(features) != len(pixels):
            shape = type(found).__name__ if features is None else f"shape {list(features.shape)}"
            raise LikewiseError(
                f"The encoder gave {shape} for {len(pixels)} images; allowed: features [B, D] or a map [B, D, h, w]. "
                f"Give a function that returns those: lambda images: model(images).last_hidden_state[:, 0]."
            )
        return features.mean(dim=(2, 3)) if features.ndim == 4 else features


def _open(subject: _Network | _Matrix, data: Any, labels: Any, test: Any) -> Manifest:
    """The examples with labels and, where they bring some, splits."""
    if data is not None:
        other = test if _is_data(test) else None
        return open_manifest(data, labels, test_data=other)
    if isinstance(subject, _Network):
        raise LikewiseError("evaluate() was given an encoder but no images. Give some: evaluate(encoder, 'photos/').")
    if _is_data(test):
        raise LikewiseError(
            "evaluate() was given features and test data. Give both parts as features: "
            "evaluate((train, test), labels=(train_labels, test_labels))."
        )
    return _manifest_of_rows(subject, labels)


def _is_data(test: Any) -> bool:
    """Whether ``test`` is a source of images, and neither a share nor a mask."""
    return test is not None and not isinstance(test, float) and _mask(test) is None


def _mask(test: Any) -> np.ndarray | None:
    """Bool [N], where ``test`` is that."""
    if isinstance(test, (str, Path, float, Manifest)) or test is None:
        return None
    if isinstance(test, (tuple, list)) and not all(isinstance(each, bool) for each in test):
        return None
    values = np.asarray(test)
    return values if values.dtype == np.bool_ and values.ndim == 1 else None


def _manifest_of_rows(subject: _Matrix, labels: Any) -> Manifest:
    """The rows of a matrix as examples; each has one grey pixel, for they have no picture."""
    count = len(subject.vectors)
    labels = subject.labels if labels is None else labels
    if labels is not None and subject.train_rows is not None:
        labels = _joined(labels, subject.train_rows, count - subject.train_rows)
    given = [None] * count if labels is None else listed(labels)
    if len(given) != count:
        raise LikewiseError(f"{count:,} rows of features, but {len(given):,} labels. Give one for each, -1 for none.")
    numbers, names = numbered(given, (), "labels")
    splits = np.full(count, "train")
    if subject.train_rows is not None:
        splits = np.where(np.arange(count) < subject.train_rows, "train", "test")
    pixels = ArrayPixels(np.zeros((count, 1, 1), np.uint8))
    return Manifest("features", pixels, numbers, splits, [str(row) for row in range(count)], names)


def _joined(labels: Any, train: int, test: int) -> list[Any]:
    """Labels of both parts in one list."""
    if not isinstance(labels, (tuple, list)) or len(labels) != 2:
        raise LikewiseError("Two matrices were given, but one list of labels. Give labels=(train_labels, test_labels).")
    first, second = listed(labels[0]), listed(labels[1])
    if (len(first), len(second)) != (train, test):
        raise LikewiseError(
            f"{train:,} training and {test:,} test rows of features, but {len(first):,} and {len(second):,} labels. "
            f"Give one for each row, -1 for none."
        )
    return first + second


def _parts_of(manifest: Manifest, test: Any, seed: int, needs_labels: bool) -> Manifest:
    """The examples with a training and a test part."""
    mask = _mask(test)
    if mask is not None:
        if len(mask) != len(manifest):
            raise LikewiseError(f"test= has {len(mask):,} entries, but there are {len(manifest):,} examples.")
        manifest = replace(manifest, splits=np.where(mask, "test", "train"))
    elif isinstance(test, float):
        if not 0 < test < 1:
            raise LikewiseError(f"test={test} was given; a share lies between 0 and 1, for instance test=0.2.")
        anew = replace(manifest, splits=np.full(len(manifest), "train"))
        manifest = anew.hold_out(test, seed)
    elif test is None and needs_labels and manifest.labelled() and not (manifest.splits == "test").any():
        manifest = manifest.hold_out(HELD_OUT, seed)
    if not (manifest.splits == "train").any():
        raise LikewiseError("All examples are in the test part, so there is nothing to learn from. Give test=0.2.")
    return manifest


def _needs_labels(settings: EvaluationSettings) -> bool:
    """Whether a measure is requested that compares predictions with labels."""
    return bool(settings.knn or settings.linear or settings.few_label)


def _require_classes(manifest: Manifest, settings: EvaluationSettings) -> None:
    """Refuse labels that cannot be scored; without any label the label-free measures are still given."""
    if not manifest.labelled() or not _needs_labels(settings):
        return
    only = "Or give measures=['label_free'], which needs no labels."
    if not (manifest.split("test").labels != UNLABELLED).any():
        raise LikewiseError(
            f"No labelled example is in a test part, so no score can be given. Hold some out: test=0.2, or "
            f"test=mask, bool [N]. {only}"
        )
    classes = class_counts(manifest.split("train").labels)
    if len(classes) < 2:
        raise LikewiseError(
            f"{len(classes)} of the classes {', '.join(manifest.class_names[:5])} has training examples, but scores "
            f"need two. Give labels of a second class, or another test part. {only}"
        )


def _targets(part: Manifest) -> Targets:
    return Targets(labels=part.labels, ids=part.ids, groups=group_numbers(part))


def _fitted(name: str, subject: _Network | _Matrix, manifest: Manifest) -> _Network | _Matrix:
    """A network with the size and channels of the data where it names none; a matrix that has a row an example."""
    if isinstance(subject, _Network):
        size = subject.image_size or default_size(manifest)
        return _Network(subject.network, size, subject.channels or default_channels(manifest))
    if len(subject.vectors) != len(manifest):
        raise LikewiseError(
            f"{name}: {len(subject.vectors):,} rows of features for {len(manifest):,} examples. Row i must belong "
            f"to example i."
        )
    return subject


class _Read(NamedTuple):
    """What a network was given of a manifest: all images of its parts that can be decoded."""

    rows: Tensor
    """int64 [M], sorted positions in the manifest"""
    features: dict[Part, Tensor]
    """float32 [M, D] of each part"""
    unread: dict[str, str]
    """ids of the images that cannot be decoded, each with the reason"""


def _read(network: _Network | _Matrix, manifest: Manifest, batch_size: int, device: torch.device | str | None) -> _Read:
    """The features of both parts; so every image has been decoded once, and which can be scored is known."""
    assert isinstance(network, _Network)
    rows, features, unread = [], dict[Part, Tensor](), dict[str, str]()
    for part in PARTS:
        index = torch.from_numpy(np.flatnonzero(manifest.splits == part))
        if not len(index):
            continue
        images = _images(network, manifest, part)
        everything = torch.arange(len(index))
        view = CentreView(network.image_size)
        found = extract_readable(network.network, images, everything, view, batch_size, device)
        features[part] = found.vectors
        rows.append(index[found.positions])
        unread |= images.unreadable
    return _Read(torch.cat(rows).sort().values, features, unread)


def _at(subject: _Network | _Matrix, rows: Tensor) -> _Network | _Matrix:
    """A matrix at some of its rows; a network as it is."""
    return subject if isinstance(subject, _Network) else subject._replace(vectors=subject.vectors[rows])


def _source(
    subject: _Network | _Matrix, manifest: Manifest, batch_size: int, device: torch.device | str | None
) -> FeatureSource:
    """The features of a part of the data."""
    if isinstance(subject, _Matrix):
        return partial(_rows, subject.vectors, manifest.splits)
    return partial(_extracted, subject, manifest, batch_size, device)


def _rows(vectors: Tensor, splits: np.ndarray, part: Part) -> Tensor:
    return vectors[torch.from_numpy(splits == part)]


def _extracted(
    subject: _Network, manifest: Manifest, batch_size: int, device: torch.device | str | None, part: Part
) -> Tensor:
    """Features of a part's images, every one of which can be decoded."""
    images = _images(subject, manifest, part)
    return extract(
        subject.network, images, torch.arange(len(images)), CentreView(subject.image_size), batch_size, device
    )


def _images(subject: _Network, manifest: Manifest, part: Part) -> Images:
    """A part's images, opened at the size that the network is given."""
    examples = manifest.split(part)
    assert subject.image_size is not None and subject.channels is not None
    return open_frames(examples, stored_size(examples, subject.image_size), subject.channels, 1)
