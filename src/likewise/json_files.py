"""JSON files with a checksum: written whole or not at all, and refused by name where they are damaged."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from likewise.atomic_write import write_bytes
from likewise.errors import DamagedFile, EnvironmentIOError, LikewiseError
from likewise.field_types import fits, in_words

CHECKSUM = "checksum"
"""The entry of a JSON file that holds the CRC-32 of all others."""

REMEDIES = {
    "scores.json": "To write it again: likewise evaluate {run}",
    "encoder.json": "The command that trained the run writes it again, given once more with --resume.",
    "classifier.json": "The command that trained the run writes it again, given once more with --resume.",
    "data.json": "The command that trained the run writes it again, given once more with --resume.",
}
"""What to do where a file of a run is damaged; {run} becomes its folder."""


def read_json(path: Path) -> Any:
    """A JSON file's content, which `write_json` wrote.

    Raises:
        DamagedFile: it is no JSON, or was changed after it was written.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(
            path, "it is empty" if not path.stat().st_size else "it is cut short, or no JSON"
        ) from error
    except OSError as error:
        raise EnvironmentIOError(f"{path} cannot be read: {error.strerror or error}.") from error
    if isinstance(content, dict) and CHECKSUM in content:
        expected = content.pop(CHECKSUM)
        if _checksum(content) != expected:
            raise damaged(
                path,
                f'its content does not match its "{CHECKSUM}" (whoever changes it removes that entry)',
            )
    return content


def read_object(
    path: Path, types: Mapping[str, Any] | None = None, optional: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A JSON file whose content is an object.

    Args:
        path: the file.
        types: entries that it must have, and their types, as annotations: ``list[int] | None``.
        optional: the same of entries that it may have.

    Raises:
        DamagedFile: it is none, or an entry is absent or of another type.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise damaged(path, "it does not hold an object")
    present = {name: wanted for name, wanted in (optional or {}).items() if name in content}
    require_types(path, content, {**(types or {}), **present})
    return content


def require_types(path: Path, content: Mapping[str, Any], types: Mapping[str, Any]) -> None:
    """Refuse a file's content where an entry is absent or of another type.

    Raises:
        DamagedFile: with the entry's name.
    """
    for name, wanted in types.items():
        if name not in content:
            raise damaged(path, f'it has no "{name}"')
        if not fits(content[name], wanted):
            raise damaged(path, f'its "{name}" is not {in_words(wanted)}')


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """While the context is open, an error of what a file's content is taken for becomes one that names the file.

    Raises:
        DamagedFile: an entry is absent, unknown or of another type.
    """
    try:
        yield
    except DamagedFile:
        raise
    except KeyError as error:
        raise damaged(path, f'it has no "{error.args[0]}"') from error
    except LikewiseError as error:
        raise damaged(path, str(error).rstrip(".")) from error
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise damaged(path, f"an entry is absent or of another type ({error})") from error


def damaged(path: Path, reason: str) -> DamagedFile:
    """The error for a file of a run that cannot be used, with what to do."""
    remedy = REMEDIES.get(path.name, "Copy it again from where it is whole, or train again.")
    return DamagedFile(path, reason, remedy.format(run=path.parent))


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a kill leaves either the old file or the new one, never half of one.

    An object gets a checksum, by which `read_json` knows whether it was changed.

    Raises:
        EnvironmentIOError: the disk is full or may not be written to; an old file stays.
    """
    if isinstance(content, Mapping):
        content = {**content, CHECKSUM: _checksum(content)}
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def _checksum(content: Mapping[str, Any]) -> str:
    """CRC-32 of an object, whatever the white space and the order of its entries."""
    text = json.dumps(json.loads(json.dumps(content)), sort_keys=True, separators=(",", ":"))
    return f"crc32:{zlib.crc32(text.encode()):08x}"
