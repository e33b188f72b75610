"""What outlives a step: EMA teachers and queues of past embeddings."""

from likewise.memory.queue import BatchHistory, Queue, embedding_queues, queue_warnings
from likewise.memory.teacher import ema_update, make_ema_copy, momentum_at, momentum_to_one

__all__ = [
    "BatchHistory",
    "Queue",
    "ema_update",
    "embedding_queues",
    "make_ema_copy",
    "momentum_at",
    "momentum_to_one",
    "queue_warnings",
]
