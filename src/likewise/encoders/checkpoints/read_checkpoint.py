"""The tensors of a weights file, whatever is stored around them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from likewise.errors import LikewiseError

ENTRIES = (
    "state_dict_ema",
    "model_ema",
    "ema_model",
    "ema_state_dict",
    "teacher",
    "target_encoder",
    "state_dict",
    "model_state_dict",
    "model",
    "student",
    "encoder",
    "net",
)
"""Entries of a checkpoint that hold a network, the first that is there being taken: averaged weights before others.

Of another name one is taken where it is the only one.
"""

_scalar, _reconstruct = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]
_ELSEWHERE = [
    *((_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((_reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((PurePosixPath, f"pathlib.{home}PosixPath") for home in ("", "_local.")),
    *((PureWindowsPath, f"pathlib.{home}WindowsPath") for home in ("", "_local.")),
]
"""Plain data by the names under which versions of NumPy and Python save them. A path of another system is one all the
same."""

SAVE_AGAIN = "torch.save(model.state_dict(), 'weights.pth')"


class StoredTensors(NamedTuple):
    """Tensors by name, and where in the file they are."""

    tensors: dict[str, Tensor]
    entry: str
    """the checkpoint's entry that was taken; empty where the file holds tensors alone"""
    other_entries: tuple[str, ...]
    """entries with networks that were not"""


def read_checkpoint(path: Path) -> StoredTensors:
    """A ``.safetensors`` file or a PyTorch checkpoint. No code in it is run.

    Raises:
        LikewiseError: there is no such file, or it holds something else than tensors.
    """
    if not path.is_file():
        raise LikewiseError(
            f"There is no weights file {path}. --pretrained takes lite0, timm, none, or a .safetensors, .pt or .pth "
            f"file."
        )
    content = (
        load_file(path)
        if path.suffix == ".safetensors" and _is_safetensors(path)
        else _unpickled(path)
    )
    networks = _networks(content)
    entry = networks[0] if networks else ""
    chosen = content[entry] if entry else content
    tensors = {name: value for name, value in _items(chosen) if isinstance(value, Tensor)}
    if not tensors:
        raise LikewiseError(
            f"{path} holds no tensors by name. --pretrained takes what this saves: {SAVE_AGAIN}."
        )
    return StoredTensors(tensors, entry, tuple(networks[1:]))


def _networks(content: Any) -> list[str]:
    """Names of the entries that hold networks, the one to take first."""
    found = [name for name, value in _items(content) if _holds_tensors(value)]
    known = [name for name in ENTRIES if name in found]
    is_only_one = len(found) == 1 and not _holds_tensors(content)
    return known or (found if is_only_one else [])


def _is_safetensors(path: Path) -> bool:
    """Whether the file can be opened; a damaged one is refused by name."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt"):
            return True
    except (SafetensorError, OSError) as error:
        raise LikewiseError(
            f"{path} cannot be read as weights: it is no .safetensors file, or a damaged one. Fetch or save it again."
        ) from error


def _unpickled(path: Path) -> Any:
    try:
        with _plain_data_allowed():
            return torch.load(path, "cpu", weights_only=True)
    except (
        Exception
    ) as error:  # PyTorch's text advises to load everything, which would run code in the file
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = (
            f"it holds objects of {found[1]} besides tensors, and to load those could run code of the file's"
            if found
            else "it is neither a PyTorch checkpoint nor a .safetensors file, or it is damaged"
        )
        raise LikewiseError(
            f"{path} cannot be read as weights: {reason}. Save the tensors alone where it was made: {SAVE_AGAIN}."
        ) from error


@contextmanager
def _plain_data_allowed() -> Iterator[None]:
    """Allow what training scripts save with the tensors and what runs no code when it is loaded.

    Options of an argument parser, paths, NumPy's numbers and arrays (such as the best accuracy), and dates.
    """
    numbers = {type(np.dtype(kind)) for kind in np.sctypeDict.values() if kind is not np.object_}
    allowed = [argparse.Namespace, np.ndarray, np.dtype, *numbers, datetime, timedelta]
    with torch.serialization.safe_globals([*allowed, *_ELSEWHERE]):
        yield


def _items(content: Any) -> list[tuple[str, Any]]:
    return list(content.items()) if isinstance(content, dict) else []


def _holds_tensors(entry: Any) -> bool:
    return any(isinstance(value, Tensor) for _, value in _items(entry))
