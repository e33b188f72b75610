"""Pretrained weights from files: matched by name, and refused if too few match."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from likewise.errors import LikewiseError

PREFIXES = ("module.", "encoder_q.", "encoder.", "backbone.", "model.", "network.")
"""Prefixes of tensor names in other libraries: SupContrast, MoCo and ISD, solo-learn, lightly, ours."""

MIN_MATCHED = 0.9
"""The least share of the encoder's tensors that a file must contain."""


class KeyMatch(NamedTuple):
    """How well a file fits an encoder."""

    matched: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        """One line for the first screen."""
        return f"{self.matched} tensors matched, {len(self.missing)} missing, {len(self.unexpected)} unexpected"


def load_weights(network: nn.Module, path: str | Path) -> KeyMatch:
    """Fill a backbone from a ``.safetensors`` file or a PyTorch checkpoint of any common layout.

    Raises:
        LikewiseError: no such file, not a checkpoint, or under 90% of the network's tensors found in it.
    """
    stored = {_without_prefix(name): tensor for name, tensor in _read(Path(path)).items()}
    wanted = network.state_dict()
    fitting = {name: stored[name] for name in wanted if name in stored and stored[name].shape == wanted[name].shape}
    missing = tuple(name for name in wanted if name not in fitting)
    unexpected = tuple(name for name in stored if name not in fitting)
    match = KeyMatch(len(fitting), missing, unexpected)
    if len(fitting) < MIN_MATCHED * len(wanted):
        raise LikewiseError(
            f"{path} does not belong to this encoder: {match}. First missing: {', '.join(missing[:3])}; first "
            f"unexpected: {', '.join(unexpected[:3]) or 'none'}. Name the encoder that the weights were made for with "
            f"--encoder, and its stem with --stem."
        )
    network.load_state_dict(fitting, strict=False)
    return match


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise LikewiseError(f"There is no weights file {path}. --pretrained takes a .safetensors, .pt or .pth file.")
    try:
        content: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:
        raise LikewiseError(
            f"{path} cannot be read as weights: {error}. It must be a .safetensors file, or a PyTorch checkpoint that "
            f"holds tensors only."
        ) from error
    for key in ("state_dict", "model", "teacher", "student"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    return {name: tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def _without_prefix(name: str) -> str:
    """A tensor's name without the prefixes of other libraries."""
    while name.startswith(PREFIXES):
        name = name.split(".", 1)[1]
    return name
