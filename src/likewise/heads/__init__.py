"""Features -> the space that a loss compares in."""

from likewise.heads.auxiliary import auxiliary_heads
from likewise.heads.mlp import location_mlp, mlp
from likewise.heads.prototypes import Prototypes
from likewise.heads.scale import LearnedScale

__all__ = ["LearnedScale", "Prototypes", "auxiliary_heads", "location_mlp", "mlp"]
