"""Features -> the space that a loss compares in."""

from likewise.heads.mlp import mlp
from likewise.heads.prototypes import Prototypes

__all__ = ["Prototypes", "mlp"]
