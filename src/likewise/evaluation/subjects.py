"""What ``likewise.evaluate`` scores: a network, the encoder of a run, or features that are already there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor, nn

from likewise.counts import amount
from likewise.data.images import Images
from likewise.data.manifest import Manifest
from likewise.data.open_images import default_channels, default_size, open_images, stored_size
from likewise.encoders import Encoder, EncoderSettings, load_encoder
from likewise.encoders.stored_encoder import encoder_settings_of
from likewise.errors import LikewiseError
from likewise.evaluation.evaluate_features import FeatureSource, Part
from likewise.evaluation.features import extract, extract_readable
from likewise.run_folder import RunFolder
from likewise.vectors import Vectors, has_vectors, read_vectors
from likewise.views.centre_view import CentreView

PARTS: tuple[Part, ...] = get_args(Part)


class NetworkSubject(NamedTuple):
    """An encoder of images, and what it asks of them."""

    network: nn.Module
    """float [B, C, H, W] in [0, 1] -> [B, D]"""
    image_size: int | None = None
    """pixels along a side; None: chosen from the data"""
    channels: int | None = None
    """colour channels; None: as the images have"""
    pixel_range: tuple[float, float] | None = None
    """values of deep pixels that are black and white; None: found in the data, or 8-bit images for a run's encoder"""
    given_range: tuple[float, float] | None = None
    """that range where it was given to a run, and not found in its images"""
    of_run: bool = False
    """whether a run says what it asks for"""


class FeatureSubject(NamedTuple):
    """Features that are already there."""

    vectors: Tensor
    """float32 [N, D]"""
    labels: Any = None
    """the labels that came with them, or None"""
    train_rows: int | None = None
    """how many of the first rows are training features, where two matrices were given"""


Subject: TypeAlias = NetworkSubject | FeatureSubject
"""What was given, ready to be scored."""


def subject_of(given: Any, image_size: int | None, channels: int | None) -> Subject:
    """What was given to be scored, as a network or as features."""
    if isinstance(given, Encoder) and given.settings is not None:
        size = image_size or given.settings.image_size
        return _network_of_run(given, replace(given.settings, image_size=size), size, "The encoder")
    if isinstance(given, nn.Module):
        return NetworkSubject(_Pooled(given), image_size, channels)
    if isinstance(given, Vectors):
        return FeatureSubject(_float_matrix(given.vectors), given.labels)
    if isinstance(given, (np.ndarray, Tensor)):
        return FeatureSubject(_float_matrix(given))
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return _pair(*given)
    if isinstance(given, (str, Path)):
        return _stored(given, image_size)
    folder = getattr(given, "folder", None)
    if isinstance(folder, RunFolder):
        run: Any = given  # a Run, whose encoder may be a user's module
        settings = encoder_settings_of(folder.path)
        return _network_of_run(run.encoder, settings, image_size, str(folder.path))
    if callable(given):
        return NetworkSubject(_Pooled(given), image_size, channels)
    raise LikewiseError(
        f"evaluate() was given an encoder of type {type(given).__name__}; allowed: an nn.Module, a function of images, "
        f"a run or its folder, a matrix of features [N, D], or a pair of matrices (train, test)."
    )


def _stored(path: str | Path, image_size: int | None) -> Subject:
    """The vectors of a file, or the encoder of a run's folder."""
    if has_vectors(path) or Path(path).suffix == ".parquet":
        vectors = read_vectors(Path(path))
        return FeatureSubject(_float_matrix(vectors.vectors), vectors.labels)
    encoder, settings = load_encoder(RunFolder(path).require().path)
    return _network_of_run(encoder, settings, image_size, str(path))


def _network_of_run(
    encoder: Encoder, settings: EncoderSettings, image_size: int | None, path: str
) -> NetworkSubject:
    if settings.frames > 1:
        raise LikewiseError(
            f"{path} learned from videos. Score it as the run that it is of: likewise.load(folder).evaluate(data)."
        )
    if image_size not in (None, settings.image_size):
        raise LikewiseError(
            f"image_size={image_size} was given, but the encoder of {path} reads images of {settings.image_size} "
            f"pixels. Leave image_size out."
        )
    return NetworkSubject(
        encoder,
        settings.image_size,
        settings.channels,
        settings.pixel_range,
        settings.given_range,
        of_run=True,
    )


def _pair(train: Any, test: Any) -> FeatureSubject:
    """Training features above test features."""
    first = _float_matrix(train)
    second = _float_matrix(test)
    if first.shape[1] != second.shape[1]:
        raise LikewiseError(
            f"Training features have {first.shape[1]} columns and test features {second.shape[1]}; they must be the "
            f"same features of other examples."
        )
    return FeatureSubject(torch.cat([first, second]), train_rows=len(first))


def _float_matrix(given: Any) -> Tensor:
    """Float32 [N, D] on the CPU.

    Raises:
        LikewiseError: another shape, or values that are not finite.
    """
    try:
        vectors = torch.as_tensor(given).detach().cpu().float()
    except (TypeError, ValueError, RuntimeError) as error:
        raise LikewiseError(
            f"Features are a matrix of numbers [N, D]; {type(given).__name__} was given ({error})."
        ) from None
    if vectors.ndim != 2 or not vectors.numel():
        raise LikewiseError(
            f"Features of shape {list(vectors.shape)} were given; allowed: [N, D], one row an example. Images belong "
            f"into data=; maps [N, D, h, w] can be given as features.mean((2, 3))."
        )
    bad = (~vectors.isfinite().all(dim=1)).nonzero().flatten()
    if len(bad):
        rows = ", ".join(map(str, bad[:5].tolist()))
        more = ", ..." if len(bad) > 5 else ""
        raise LikewiseError(
            f"{len(bad):,} of {amount(len(vectors), 'row')} of the features hold NaN or infinity (rows {rows}{more}). "
            f"Leave those rows and their labels out: keep = numpy.isfinite(features).all(axis=1)."
        )
    return vectors


class _Pooled(nn.Module):
    """A network or a function, whose maps are averaged over locations and whose output is checked."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        # Registered as a part where it is a module, so that it goes to eval mode.
        self.function = function

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
                f"The encoder gave {shape} for {amount(len(pixels), 'image')}; allowed: features [B, D] or a map [B, "
                f"D, h, w]. Give a function that returns those: lambda images: model(images).last_hidden_state[:, 0]."
            )
        return features.mean(dim=(2, 3)) if features.ndim == 4 else features


def fitted(name: str, subject: Subject, manifest: Manifest) -> Subject:
    """A network with the size and channels of the data where it names none; a matrix that has a row an example."""
    if isinstance(subject, NetworkSubject):
        size = subject.image_size or default_size(manifest)
        return NetworkSubject(subject.network, size, subject.channels or default_channels(manifest))
    if len(subject.vectors) != len(manifest):
        raise LikewiseError(
            f"{name}: {amount(len(subject.vectors), 'row')} of features for {amount(len(manifest), 'example')}. Row i "
            f"must belong to example i."
        )
    return subject


class ReadFeatures(NamedTuple):
    """What a network was given of a manifest: all images of its parts that can be decoded."""

    rows: Tensor
    """int64 [M], sorted positions in the manifest"""
    features: dict[Part, Tensor]
    """float32 [M, D] of each part"""
    unread: dict[str, str]
    """ids of the images that cannot be decoded, each with the reason"""


def read_network(
    network: Subject, manifest: Manifest, batch_size: int, device: torch.device | str | None
) -> ReadFeatures:
    """The features of both parts; so every image has been decoded once, and which can be scored is known."""
    assert isinstance(network, NetworkSubject)
    rows = []
    features = dict[Part, Tensor]()
    unread = dict[str, str]()
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
    return ReadFeatures(torch.cat(rows).sort().values, features, unread)


def at_rows(subject: Subject, rows: Tensor) -> Subject:
    """A matrix at some of its rows; a network as it is."""
    if isinstance(subject, NetworkSubject):
        return subject
    return subject._replace(vectors=subject.vectors[rows])


def source_of(
    subject: Subject, manifest: Manifest, batch_size: int, device: torch.device | str | None
) -> FeatureSource:
    """The features of a part of the data."""
    if isinstance(subject, FeatureSubject):
        return partial(_rows, subject.vectors, manifest.splits)
    return partial(_extracted, subject, manifest, batch_size, device)


def _rows(vectors: Tensor, splits: np.ndarray, part: Part) -> Tensor:
    return vectors[torch.from_numpy(splits == part)]


def _extracted(
    subject: NetworkSubject,
    manifest: Manifest,
    batch_size: int,
    device: torch.device | str | None,
    part: Part,
) -> Tensor:
    """Features of a part's images, every one of which can be decoded."""
    images = _images(subject, manifest, part)
    everything = torch.arange(len(images))
    view = CentreView(subject.image_size)
    return extract(subject.network, images, everything, view, batch_size, device)


def _images(subject: NetworkSubject, manifest: Manifest, part: Part) -> Images:
    """A part's images, opened at the size that the network is given."""
    examples = manifest.split(part)
    assert subject.image_size is not None and subject.channels is not None
    size = stored_size(examples, subject.image_size)
    return open_images(examples, size, subject.channels)
