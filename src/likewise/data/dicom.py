"""DICOM files: grey pixels in the units of their rescale slope and intercept, colours as RGB."""

from __future__ import annotations

import io
from typing import IO, Any

import numpy as np

SUFFIXES = frozenset({".dcm", ".dicom"})
"""Endings of DICOM files."""
INSTALL = 'pip install "likewise[dicom]"'
GRAY_MODE, COLOUR_MODE = "F", "RGB"


def is_dicom(start: bytes) -> bool:
    """Whether a file is DICOM by its first 132 bytes (PS3.10, Sec. 7.1)."""
    return start[128:132] == b"DICM"


def dicom_header(stream: IO[bytes]) -> tuple[int, int, str]:
    """Width, height and mode of one file, without its pixels.

    Raises:
        ImportError: pydicom is not installed.
        ValueError: it holds no picture, or several frames.
    """
    data = _pydicom().dcmread(stream, stop_before_pixels=True)
    _require_one_frame(data)
    mode = COLOUR_MODE if int(data.SamplesPerPixel) > 1 else GRAY_MODE
    return int(data.Columns), int(data.Rows), mode


def read_dicom(content: bytes) -> np.ndarray:
    """The pixels of one file: float32 [H, W] in its units (Hounsfield, for CT), or uint8 [H, W, 3].

    The rescale slope and intercept, or the modality's table, are applied (PS3.3, Sec. C.11.1). MONOCHROME1, where low
    values are white, is turned round within the range of its bits, so that high values are white in every file.

    Raises:
        ImportError: pydicom is not installed.
        ValueError: it holds no picture, or several frames.
    """
    pydicom = _pydicom()
    data = pydicom.dcmread(io.BytesIO(content))
    _require_one_frame(data)
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut

    values = data.pixel_array  # YCbCr has become RGB
    bits = int(data.BitsStored)
    if data.PhotometricInterpretation == "PALETTE COLOR":
        return _upper_byte(apply_color_lut(values, data), bits=16)
    if values.ndim == 3:
        return _upper_byte(values, bits)
    if data.PhotometricInterpretation == "MONOCHROME1":
        is_signed = int(data.PixelRepresentation) == 1
        turned = -1 if is_signed else 2**bits - 1  # the least and the greatest value together
        values = turned - values.astype(np.int64)
    return np.asarray(apply_modality_lut(values, data), np.float32)


def _upper_byte(values: np.ndarray, bits: int) -> np.ndarray:
    """Values of so many bits as uint8."""
    if values.dtype == np.uint8:
        return values
    return (values >> (bits - 8)).astype(np.uint8)


def _require_one_frame(data: Any) -> None:
    if "Rows" not in data or "Columns" not in data:
        raise ValueError("a DICOM without a picture")
    frames = int(data.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise ValueError(f"a DICOM of {frames} frames: save each frame as a file")


def _pydicom() -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise ImportError(f"a DICOM needs pydicom: {INSTALL}") from error
    return pydicom
