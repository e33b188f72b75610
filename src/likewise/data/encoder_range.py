"""The range of pixels with which an encoder's images are opened: its own, never that of the new images."""

from __future__ import annotations

from likewise.data.manifest import Manifest
from likewise.data.pixel_range import BYTE, UNIT
from likewise.errors import LikewiseError


def require_encoder_range(
    manifest: Manifest, trained: tuple[float, float] | None, given: tuple[float, float] | None
) -> None:
    """Refuse pixels whose scale neither the encoder nor the caller says, so that the set's own would be taken.

    Args:
        manifest: the examples, opened with the encoder's range or the given one.
        trained: the encoder's range; None: it was trained on 8-bit images.
        given: the range that the caller named.

    Raises:
        LikewiseError: the encoder has no range, none was given, and the pixels have more than 8 bits and do not lie in
            [0, 1]; or one was given and they have 8 bits.
    """
    found = manifest.pixel_range
    if trained is None:
        refuse_unused_range(manifest, given)
    if trained is not None or given is not None or found is None or found in (UNIT, BYTE):
        return
    raise LikewiseError(
        f"{manifest.source}: pixels of more than 8 bits were given, with the range {found[0]:g} to {found[1]:g}, but "
        f"the encoder was trained on 8-bit images. Allowed: 8-bit images, or floating point from 0 to 1. Or say which "
        f"values are black and white: --pixel-range LOW HIGH, in Python pixel_range=(low, high), for instance 0 255 "
        f"where 8-bit values were converted."
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


def range_for(
    trained: tuple[float, float] | None,
    given: tuple[float, float] | None,
) -> tuple[float, float] | None:
    """The range with which an encoder's images are opened: always its own where it has one.

    Raises:
        LikewiseError: it has one, and another was given.
    """
    if trained is not None and given is not None and tuple(given) != tuple(trained):
        raise LikewiseError(
            f"--pixel-range {given[0]:g} {given[1]:g} was given, but the encoder was trained with {trained[0]:g} "
            f"{trained[1]:g}, which is always taken. Leave --pixel-range out."
        )
    return given if trained is None else trained
