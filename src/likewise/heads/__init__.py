"""Features -> the space that a loss compares in."""

from likewise.heads.mlp import mlp, place_mlp
from likewise.heads.prototypes import Prototypes

__all__ = ["Prototypes", "mlp", "place_mlp"]
