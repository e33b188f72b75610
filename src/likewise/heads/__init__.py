"""Features -> the space that a loss compares in."""

from likewise.heads.mlp import mlp

__all__ = ["mlp"]
