"""Checkpoints that a kill cannot break."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from likewise.errors import EnvironmentIOError, LikewiseError

FORMAT = 1
"""Raised when what a checkpoint holds changes."""


def save_checkpoint(fabric: Fabric, path: Path, state: dict[str, Any]) -> None:
    """Write the state beside the old checkpoint, then take its place: a kill leaves one or the other whole."""
    partial = path.with_name(path.name + ".partial")
    try:
        fabric.save(partial, {**state, "format": FORMAT})
        if fabric.is_global_zero:
            os.replace(partial, path)
    except OSError as error:
        raise EnvironmentIOError(
            f"The checkpoint {path} cannot be written: {error.strerror or error}. The one before it is kept. Free some "
            f"room, then continue with --resume."
        ) from error
    fabric.barrier()


def load_checkpoint(fabric: Fabric, path: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Fill modules and optimiser of ``state`` in place; gives back the state with its numbers as stored.

    Raises:
        LikewiseError: the file is not a checkpoint of this run's shape.
    """
    numbers = {name: value for name, value in state.items() if isinstance(value, int | float)}
    filled: dict[str, Any] = {**state, "format": FORMAT}
    try:
        fabric.load(path, filled)
    except Exception as error:
        raise LikewiseError(
            f"{path} does not continue this run: {error}. Start afresh with another --out, or with --overwrite."
        ) from error
    if filled["format"] != FORMAT:
        raise LikewiseError(
            f"{path} was written in checkpoint format {filled['format']}; this version reads {FORMAT}. Continue it "
            f"with the version that wrote it (see environment.json)."
        )
    return {name: filled[name] for name in numbers}
