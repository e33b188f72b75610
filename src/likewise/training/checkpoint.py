"""Checkpoints that a kill cannot break."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from likewise.errors import EnvironmentIOError, LikewiseError

FORMAT = 2
"""Number of the checkpoint's content; it is raised when the content changes."""


def save_checkpoint(fabric: Fabric, path: Path, state: dict[str, Any]) -> None:
    """Write a new file, then rename it over the old checkpoint: a kill leaves one of the two whole."""
    partial = path.with_name(path.name + ".partial")
    try:
        fabric.save(partial, {**state, "format": FORMAT})
        if fabric.is_global_zero:
            os.replace(partial, path)
    except OSError as error:
        raise EnvironmentIOError(
            f"The checkpoint {path} cannot be written: {error.strerror or error}. The one before it is left. Free some "
            f"space, then continue with --resume."
        ) from error
    fabric.barrier()


def load_checkpoint(fabric: Fabric, path: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Load modules and optimiser of ``state``, and return its numbers as stored.

    Raises:
        LikewiseError: the file is not a checkpoint of this run's shape.
    """
    stored = _format_of(path)
    if stored != FORMAT:
        raise LikewiseError(
            f"{path} was written in checkpoint format {stored}; this version reads {FORMAT}. Continue it with the "
            f"version that wrote it (see environment.json)."
        )
    numbers = {name: value for name, value in state.items() if isinstance(value, int | float)}
    filled: dict[str, Any] = {**state, "format": FORMAT}
    try:
        fabric.load(path, filled)
    except Exception as error:
        raise LikewiseError(
            f"{path} does not continue this run: {error}. Start afresh with another --out, or with --overwrite."
        ) from error
    return {name: filled[name] for name in numbers}


def _format_of(path: Path) -> Any:
    """The number that a checkpoint carries; the file is mapped, not read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)["format"]
    except Exception as error:
        raise LikewiseError(
            f"{path} is not a checkpoint: {error}. Start afresh with another --out, or with --overwrite."
        ) from error
