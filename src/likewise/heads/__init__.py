"""Features -> the space that a loss compares in."""

from likewise.heads.auxiliary import auxiliary_heads
from likewise.heads.mlp import mlp, place_mlp
from likewise.heads.prototypes import Prototypes
from likewise.heads.scale import LearnedScale

__all__ = ["LearnedScale", "Prototypes", "auxiliary_heads", "mlp", "place_mlp"]
