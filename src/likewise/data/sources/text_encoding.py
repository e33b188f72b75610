"""Which encoding a text file has."""

from __future__ import annotations

import codecs
from pathlib import Path

from likewise.errors import LikewiseError

ENCODING_NAMES = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with BOM",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
    "cp1252": "Windows-1252, since it is not UTF-8",
    "latin-1": "Latin-1, since it is not UTF-8",
}

EIGHT_BIT = ("cp1252", "latin-1")
"""Encodings in which every byte is a letter, so that nothing shows whether they are the right ones."""

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

_OTHER_FORMATS = {
    b"PK\x03\x04": "an Excel or ZIP file",
    b"PAR1": "a Parquet file",
    b"\xd0\xcf\x11\xe0": "an Excel file",
}


def encoding_of(file: Path) -> str:
    """The encoding of a text file, by its byte order mark or its content.

    What is neither UTF-8 nor UTF-16 is taken as Windows-1252, or Latin-1 where that has no such letter.

    Raises:
        LikewiseError: it cannot be read, is no text, or some of its lines are UTF-8 and others are not.
    """
    start = _first_bytes(file, 4096)
    for mark, name in _MARKS.items():
        if start.startswith(mark):
            return name
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise LikewiseError(
            f"{file} is no table but a web page or XML, as a failed download leaves it. Fetch the table again."
        )
    for signature, kind in _OTHER_FORMATS.items():
        if start.startswith(signature):
            raise LikewiseError(f"{file} is no text but {kind}. Save the table as CSV, in UTF-8.")
    if b"\0" in start:
        return _encoding_with_zeros(start, file)
    odd_line, is_mixed = _lines_not_utf8(file)
    if odd_line is None:
        return "utf-8"
    if is_mixed:
        raise LikewiseError(
            f"{file}, line {odd_line}: this line is not UTF-8, and others are. Save the whole file as UTF-8."
        )
    return "cp1252" if _decodes(file, "cp1252") else "latin-1"


def _first_bytes(file: Path, count: int) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(count)
    except OSError as error:
        raise LikewiseError(f"{file} cannot be read: {error.strerror or error}.") from error


def _encoding_with_zeros(start: bytes, file: Path) -> str:
    """UTF-16 without a mark: letters of Latin script have one byte that is zero."""
    even, odd = start[0::2].count(0), start[1::2].count(0)
    is_latin = even + odd > len(start) / 8
    if is_latin and odd > 4 * even:
        return "utf-16-le"
    if is_latin and even > 4 * odd:
        return "utf-16-be"
    raise LikewiseError(f"{file} is no text: it holds zero bytes. Give a table as CSV, in UTF-8.")


def _lines_not_utf8(file: Path) -> tuple[int | None, bool]:
    """The first line that is not UTF-8, from 1, and whether others with letters beyond ASCII are."""
    first_odd, is_utf8 = None, False
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
                is_utf8 = True
            except UnicodeDecodeError:
                first_odd = first_odd or number
    return first_odd, is_utf8


def _decodes(file: Path, encoding: str) -> bool:
    try:
        with file.open(encoding=encoding) as lines:
            for _ in lines:
                pass
    except UnicodeDecodeError:
        return False
    return True
