"""Features of every image by a frozen encoder, computed once and cached on disk."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from likewise.data.images import Images
from likewise.encoders import Encoder, EncoderSettings
from likewise.encoders.weights_hash import weights_hash
from likewise.errors import DamagedFile, EnvironmentIOError
from likewise.evaluation.features import extract
from likewise.tensor_files import load_tensors, save_tensors
from likewise.views.centre_view import CentreView

CHUNK = 512
"""images hashed at a time"""


def cached_features(
    encoder: Encoder,
    settings: EncoderSettings,
    images: Images,
    device: torch.device | str = "cpu",
    cache: Path | None = None,
) -> Tensor:
    """Features float32 [N, D] of all images, from the cache where the same encoder has read the same pixels before.

    Args:
        encoder: frozen.
        settings: of the encoder.
        images: N of them.
        device: where to compute.
        cache: a folder; None: ``likewise/features`` under ``$XDG_CACHE_HOME`` or ``~/.cache``.
    """
    folder = cache or default_cache()
    path = folder / f"{_key(encoder, settings, images)}.safetensors"
    stored = _stored(path, len(images))
    if stored is not None:
        return stored
    vectors = extract(
        encoder, images, torch.arange(len(images)), CentreView(settings.image_size), device=device
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        save_tensors(partial, {"features": vectors})
        partial.replace(path)
    except (OSError, EnvironmentIOError):
        pass  # a full or read-only disk costs the next advice time, and this one nothing
    return vectors


def _stored(path: Path, count: int) -> Tensor | None:
    """The features that a file holds; None where it is absent, damaged or cut short, so that they are computed."""
    try:
        features = load_tensors(path).get("features")
    except DamagedFile:
        return None
    return features if features is not None and len(features) == count else None


def default_cache() -> Path:
    """Where features are cached."""
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "likewise" / "features"
    )


def _key(encoder: Encoder, settings: EncoderSettings, images: Images) -> str:
    """A hash of the weights, of how images are preprocessed, and of every pixel."""
    digest = hashlib.blake2b(
        repr(replace(settings, pretrained="", module=None)).encode(), digest_size=20
    )
    digest.update(weights_hash(encoder).encode())
    for rows in torch.arange(len(images)).split(CHUNK):
        pixels = images.read(rows)
        digest.update(pixels.images.contiguous().numpy().tobytes())
        digest.update(pixels.aspect.numpy().tobytes())
    return digest.hexdigest()
