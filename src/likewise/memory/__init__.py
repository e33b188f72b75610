"""What outlives a step: teachers that follow, queues of past embeddings."""

from likewise.memory.queue import Queue, queue_warning
from likewise.memory.teacher import ema_update, make_ema_copy, momentum_at, momentum_to_one

__all__ = ["Queue", "ema_update", "make_ema_copy", "momentum_at", "momentum_to_one", "queue_warning"]
