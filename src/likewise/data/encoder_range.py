"""The range of pixels with which an encoder's images are opened: its own or a given one, never that of the images."""

from __future__ import annotations

from likewise.data.manifest import Manifest
from likewise.data.pixel_range import BYTE, UNIT
from likewise.errors import LikewiseError

TOLERANCE = 0.1
"""How far values may lie beyond the range of a run, as a share of it: the run found it in a part of its images."""


def require_encoder_range(
    manifest: Manifest, trained: tuple[float, float] | None, given: tuple[float, float] | None
) -> None:
    """Refuse pixels whose scale neither the encoder nor the caller says, or that is not the encoder's.

    Args:
        manifest: the examples, opened with the given range or else the encoder's.
        trained: the encoder's range; None: it was trained on 8-bit images.
        given: the range that the caller named, now or for the training.

    Raises:
        LikewiseError: none was given, and values lie beyond the encoder's range; or it has none, and the pixels have
            more than 8 bits and do not lie in [0, 1]; or one was given and they have 8 bits.
    """
    if given is not None:
        if given != trained:
            refuse_unused_range(manifest, given)
    elif trained is None:
        _refuse_unknown_scale(manifest)
    elif manifest.pixel_values is not None:
        _refuse_values_beyond(manifest.source, manifest.pixel_values, trained)


def _refuse_unknown_scale(manifest: Manifest) -> None:
    found = manifest.pixel_range
    if found is None or found in (UNIT, BYTE):
        return
    raise LikewiseError(
        f"{manifest.source}: pixels of more than 8 bits were given, with the range {found[0]:g} to {found[1]:g}, but "
        f"the encoder was trained on 8-bit images. Allowed: 8-bit images, or floating point from 0 to 1. Or say which "
        f"values are black and white: --pixel-range LOW HIGH, in Python pixel_range=(low, high), for instance 0 255 "
        f"where 8-bit values were converted."
    )


def _refuse_values_beyond(
    source: str, found: tuple[float, float], trained: tuple[float, float]
) -> None:
    low, high = trained
    room = TOLERANCE * (high - low)
    if low - room <= found[0] and found[1] <= high + room:
        return
    raise LikewiseError(
        f"{source}: pixels from {found[0]:g} to {found[1]:g} were found, but the encoder was trained with the range "
        f"{low:g} to {high:g}. Say which values of these images are black and white: --pixel-range {found[0]:g} "
        f"{found[1]:g}, in Python pixel_range=({found[0]:g}, {found[1]:g}); or {low:g} {high:g} as in training, which "
        f"makes those beyond it black or white."
    )


def refuse_unused_range(manifest: Manifest, given: tuple[float, float] | None) -> None:
    """Refuse a range for pixels of 8 bits, which have none.

    Raises:
        LikewiseError: one was given.
    """
    if given is not None and manifest.pixel_range is None:
        raise LikewiseError(
            f"--pixel-range {given[0]:g} {given[1]:g} was given, but all pixels of {manifest.source} have 8 bits, "
            f"which are taken as they are: 0 is black and 255 white. Leave --pixel-range out."
        )
