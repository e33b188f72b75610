"""Files of weights that carry a hash of what they hold, so that a damaged one is never read as other weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from likewise.atomic_write import write_bytes
from likewise.errors import DamagedFile

HASH = "sha256"
"""Key of the hash in a file's metadata. It stays the only key: the order of several would differ between writes."""


def hash_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        values = value.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {list(values.shape)}\n".encode())
        digest.update(memoryview(values.reshape(-1).view(torch.uint8).numpy()))  # type: ignore[arg-type]
    return digest.hexdigest()


def separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as safetensors takes them: on the CPU, contiguous, and none in the memory of another.

    Tied weights, of layers that a network uses twice, are stored under each of their names.
    """
    seen, apart = set[int](), dict[str, Tensor]()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        memory = plain.untyped_storage().data_ptr()
        apart[name] = plain.clone() if memory in seen else plain
        seen.add(memory)
    return apart


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a ``.safetensors`` file with the hash of its content.

    Raises:
        EnvironmentIOError: the disk is full or may not be written to; an old file stays.
    """
    stored = separate(tensors)
    write_bytes(path, save(stored, {HASH: hash_of(stored)}))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """What `save_tensors` wrote.

    Raises:
        DamagedFile: the file is absent, cut short or changed.
    """
    if not path.is_file():
        raise _damaged(path, "the file is gone")
    try:
        with safe_open(path, "pt") as file:
            expected = (file.metadata() or {}).get(HASH)
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, "it is cut short, or not a file of weights") from error
    if expected is None:
        raise _damaged(path, "it has no checksum")
    if hash_of(tensors) != expected:
        raise _damaged(path, "its content does not match its checksum")
    return tensors


def _damaged(path: Path, reason: str) -> DamagedFile:
    return DamagedFile(
        path,
        reason,
        "Copy it again from where it is whole; or the command that trained the run writes it again, given once more "
        "with --resume.",
    )
