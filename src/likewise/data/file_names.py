"""File names that are not UTF-8, written as text and read back."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

_ESCAPE = re.compile(r"\\x([89a-f][0-9a-f])")
"""A byte of a name that is no UTF-8; such bytes are 0x80 and above."""


def written_name(name: str) -> str:
    r"""A name as it is written into files and pages: bytes that are not UTF-8 as ``\xff``, all others as they are."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def written_names(names: Sequence[str]) -> Sequence[str]:
    """`written_name` of each; the same sequence where every name is valid text."""
    try:
        "".join(names).encode("utf-8")
    except UnicodeEncodeError:
        return [written_name(name) for name in names]
    return names


def named_file(path: Path) -> Path:
    r"""The file that a written name means: itself if it is there, else with the bytes of each ``\xff``."""
    text = str(path)
    if not _ESCAPE.search(text) or path.exists():
        return path
    content = _ESCAPE.sub(lambda found: chr(0xDC00 + int(found[1], 16)), text)
    meant = Path(os.fsdecode(content.encode("utf-8", "surrogateescape")))
    return meant if meant.exists() else path


def with_slashes(path: str) -> str:
    r"""A path of another system with ``/`` between its parts; escaped bytes of a name (``\xff``) stay."""
    return re.sub(r"\\(?!x[89a-f][0-9a-f])", "/", path)
