"""The one loop, and what it needs: optimisers, precision, checkpoints, logs, callbacks, a watch on health."""

from likewise.training.callbacks import Callback, CallbackState, EarlyStopping
from likewise.training.logs import TrainingState
from likewise.training.loop import Interrupted, train
from likewise.training.loop_settings import LoopSettings
from likewise.training.precision import choose_precision

__all__ = [
    "Callback",
    "CallbackState",
    "EarlyStopping",
    "Interrupted",
    "LoopSettings",
    "TrainingState",
    "choose_precision",
    "train",
]
