"""The one loop, and what it needs: optimisers, precision, checkpoints, logs, a watch on health."""

from likewise.training.logs import TrainingState
from likewise.training.loop import Interrupted, Plan, train
from likewise.training.precision import choose_precision

__all__ = ["Interrupted", "Plan", "TrainingState", "choose_precision", "train"]
