"""Checkpoints that a kill cannot break, and that are known to be damaged where a disk has changed them.

PyTorch writes a zip file with the CRC-32 of each tensor, but does not look at it when it loads. It is checked here, and
so is a CRC-32 of all bytes between the tensors, which the zip file's comment holds.
"""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from likewise.atomic_write import atomic_write, refused_by_disk
from likewise.errors import LikewiseError
from likewise.run_folder import RunFolder

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FORMAT = 3
"""Number of the checkpoint's content; it is raised when the content changes."""

SIGNATURE = b"likewise crc32 "
"""Begins a checkpoint's comment; eight hexadecimal digits follow."""

COMMENT = len(SIGNATURE) + 8
"""Bytes of that comment."""

RESUME = "continue with --resume: the checkpoint before it is left"


AFRESH = "Start the run again with --overwrite instead of --resume, or with another --out."


class Start(NamedTuple):
    """Where a run goes on."""

    checkpoint: Path | None
    """None where there is no checkpoint yet"""
    message: str
    """what is to be said of a damaged checkpoint; empty where none is"""


# Whole files.


def write_torch(path: Path, content: Mapping[str, Any], remedy: str = RESUME) -> None:
    """Store tensors and plain values so that `read_torch` finds any change to the file.

    Raises:
        EnvironmentIOError: the disk is full or may not be written to; an old file stays.
    """
    with atomic_write(path, remedy) as partial:
        # Opened here: PyTorch's own would not say why it cannot be written to.
        with partial.open("w+b") as file:
            try:
                torch.save(dict(content), file)
            except RuntimeError as error:
                raise refused_by_disk(error) or error from None
            file.seek(-2, os.SEEK_END)
            # The length of a zip file's comment, which was 0.
            file.write(struct.pack("<H", COMMENT))
            file.write(SIGNATURE + f"{_crc_between_tensors(file, file.tell()):08x}".encode())


def read_torch(path: Path, remedy: str) -> dict[str, Any]:
    """What `write_torch` stored, on the CPU.

    Args:
        path: the file.
        remedy: what to do where it is damaged, as a sentence.

    Raises:
        LikewiseError: the file is absent or damaged.
    """
    reason = "the file is gone" if not path.exists() else damage(path)
    if reason:
        raise LikewiseError(f"{path} cannot be used: {reason}. {remedy}")
    return _load(path, remedy)


def damage(path: Path) -> str:
    """Why a file is not what `write_torch` wrote; empty where it is."""
    try:
        with zipfile.ZipFile(path) as content:
            broken, comment = content.testzip(), content.comment
        with path.open("rb") as file:
            expected = (
                SIGNATURE
                + f"{_crc_between_tensors(file, path.stat().st_size - COMMENT):08x}".encode()
            )
        if broken is None and comment == expected:
            return ""
        if broken is None and not comment.startswith(SIGNATURE):
            return _why_without_checksum(path)
    except Exception:  # what a damaged zip file raises depends on the byte
        return "it is cut short or damaged" if path.stat().st_size else "it is empty"
    return "its content does not match its checksum"


def _crc_between_tensors(file: Any, end: int) -> int:
    """CRC-32 of a zip file's headers, padding and directory: all but its entries, which have a CRC of their own.

    Args:
        file: open for reading.
        end: where its comment begins.
    """
    crc, position = 0, 0
    with zipfile.ZipFile(file) as content:
        entries = sorted(content.infolist(), key=lambda each: each.header_offset)
    for entry in entries:
        file.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
        begin = entry.header_offset + 30 + name + extra
        file.seek(position)
        crc = zlib.crc32(file.read(begin - position), crc)
        position = begin + entry.compress_size
    file.seek(position)
    return zlib.crc32(file.read(end - position), crc)


def _why_without_checksum(path: Path) -> str:
    """A checkpoint of another version of likewise has no checksum, or this one has lost it."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    stored = content.get("format") if isinstance(content, dict) else None
    if stored == FORMAT:
        return "it has lost its checksum"
    return f"it was written in checkpoint format {stored}, and this version reads {FORMAT}"


def _load(path: Path, remedy: str) -> dict[str, Any]:
    """The content of a whole file: tensors and plain values. No code in it is run.

    Raises:
        LikewiseError: it holds something else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # PyTorch's text advises to load everything
        raise LikewiseError(
            f"{path} cannot be used: it holds objects besides tensors and numbers, and to load those could run code of "
            f"the file's. {remedy}"
        ) from error


# A run's checkpoints.


def save_checkpoint(fabric: Fabric, run: RunFolder, state: Mapping[str, Any]) -> None:
    """Write a checkpoint and keep the one before it. A kill leaves at least one of the two whole.

    Args:
        fabric: whose first process writes.
        run: the folder.
        state: objects with a ``state_dict``, and numbers.

    Raises:
        EnvironmentIOError: the disk is full or may not be written to; the checkpoint before is left.
        LikewiseError: the run's folder is gone.
    """
    content: dict[str, Any] = {"format": FORMAT}
    for name, each in state.items():
        content[name] = each.state_dict() if hasattr(each, "state_dict") else each
    if fabric.is_global_zero:
        run.require_presence()
        newest = run.checkpoint.with_name("new.ckpt")
        write_torch(newest, content)
        if run.checkpoint.exists():
            os.replace(run.checkpoint, run.previous_checkpoint)
        os.replace(newest, run.checkpoint)
    fabric.barrier()


def find_start(run: RunFolder) -> Start:
    """The newest checkpoint that is whole. A damaged one is renamed, so that it never replaces the one before it.

    Raises:
        LikewiseError: there are checkpoints, but none is whole.
    """
    reasons: dict[Path, str] = {}
    for path in (run.checkpoint, run.previous_checkpoint):
        if not path.exists():
            continue
        reason = damage(path)
        if not reason:
            return Start(path, _set_aside(reasons, path))
        reasons[path] = reason
    if not reasons:
        return Start(None, "")
    listed = "; ".join(f"{path}: {reason}" for path, reason in reasons.items())
    raise LikewiseError(f"No checkpoint of {run.path} can be used. {listed}. {AFRESH}")


def _set_aside(reasons: Mapping[Path, str], used: Path) -> str:
    """Rename damaged checkpoints; the message about them."""
    if not reasons:
        return ""
    moved = []
    for path, reason in reasons.items():
        aside = path.with_name(f"{path.name}.damaged")
        os.replace(path, aside)
        moved.append(f"The checkpoint {path} cannot be used: {reason}. It is now {aside.name}.")
    step = _load(used, AFRESH)["step"]
    return f"{' '.join(moved)} The run goes on from the checkpoint before it, {used.name} of step {step:,}."


def load_checkpoint(path: Path, state: Mapping[str, Any]) -> dict[str, Any]:
    """Load what has a ``state_dict`` in ``state``, and return its numbers as stored.

    Raises:
        LikewiseError: the checkpoint belongs to other networks or another optimiser.
    """
    stored = _load(path, AFRESH)
    numbers: dict[str, Any] = {}
    try:
        for name, each in state.items():
            if hasattr(each, "load_state_dict"):
                each.load_state_dict(stored[name])
            else:
                numbers[name] = stored[name]
        return numbers
    except (KeyError, RuntimeError, ValueError) as error:
        raise LikewiseError(
            f"{path} does not continue this run: it holds other networks, or another optimiser. {AFRESH}"
        ) from error
