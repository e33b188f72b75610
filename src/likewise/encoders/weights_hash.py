"""A hash of the weights of an encoder, which identifies its vectors."""

from __future__ import annotations

from torch import nn

from likewise.tensor_files import hash_of


def weights_hash(network: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and values of all parameters and buffers, in hexadecimal."""
    return hash_of(network.state_dict())
