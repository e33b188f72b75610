"""The range of pixels with which an encoder's images are opened: its own or a given one, never that of the images."""

from __future__ import annotations

from likewise.data.manifest import Manifest
from likewise.data.pixel_range import BYTE, SIXTEEN_BITS, UNIT
from likewise.errors import LikewiseError

TOLERANCE = 0.1
"""How far values may lie beyond the range of a run, as a share of it: the run found it in a part of its images."""

LEAST_SHARE = 1 / 16
"""Share of the range of a run that values have to cover: the rest would be seen as 16 grey levels of 256, or fewer."""


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
            more than 8 bits and do not lie in [0, 1]; or the encoder's is neither 0 to 1 nor all of a type, and the
            pixels have 8 bits, or cover less than a sixteenth of it; or one other than 0 to 255 was given and they
            have 8 bits.
    """
    has_8_bits = manifest.pixel_range is None
    if has_8_bits and given == BYTE:
        return
    if has_8_bits and trained is not None and given in (None, trained):
        _refuse_8_bits(manifest.source, trained)
    elif given is not None:
        refuse_unused_range(manifest, given)
    elif trained is None:
        _refuse_unknown_scale(manifest)
    elif manifest.pixel_values is not None:
        _refuse_values_beyond(manifest.source, manifest.pixel_values, trained)
        _refuse_few_levels(manifest.source, manifest.pixel_values, trained)


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


def _refuse_8_bits(source: str, trained: tuple[float, float]) -> None:
    if trained in (UNIT, BYTE, SIXTEEN_BITS):
        return  # what 0 and 255 are in 8 bits
    low, high = trained
    raise LikewiseError(
        f"{source}: 8-bit images were given, but the encoder was trained on images in which {low:g} is black and "
        f"{high:g} white. Give the images with their own values; or, where 0 and 255 of the 8-bit images mean the same "
        f"as those: --pixel-range 0 255, in Python pixel_range=(0, 255)."
    )


def _refuse_few_levels(
    source: str, found: tuple[float, float], trained: tuple[float, float]
) -> None:
    share = (found[1] - found[0]) / (trained[1] - trained[0])
    if not 0 < share < LEAST_SHARE:
        return
    raise LikewiseError(
        f"{source}: pixels from {found[0]:g} to {found[1]:g} were found, which is {share:.1%} of the range "
        f"{trained[0]:g} to {trained[1]:g} with which the encoder was trained. Say which values of these images are "
        f"black and white: --pixel-range {found[0]:g} {found[1]:g}, in Python pixel_range=({found[0]:g}, "
        f"{found[1]:g}); or {trained[0]:g} {trained[1]:g} as in training, for images that are so dark or so flat."
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
