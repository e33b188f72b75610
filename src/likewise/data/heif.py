"""HEIC and HEIF, the pictures of telephones, by pillow-heif."""

from __future__ import annotations

from functools import cache

INSTALL = 'pip install "likewise[heif]"'

_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""Major brands (ISO/IEC 23008-12, Sec. 10)."""


def is_heif(start: bytes) -> bool:
    """Whether a file is HEIF, by its first 12 bytes."""
    return start[4:8] == b"ftyp" and start[8:12] in _BRANDS


@cache
def enable_heif() -> None:
    """Let Pillow open HEIF.

    Raises:
        ImportError: pillow-heif is not installed.
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise ImportError(f"HEIC needs pillow-heif: {INSTALL}; or save it as JPEG") from error
    register_heif_opener()
