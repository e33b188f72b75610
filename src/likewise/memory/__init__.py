"""What outlives a step: teachers that follow, queues of past embeddings."""

from likewise.memory.queue import Queue
from likewise.memory.teacher import follow, frozen_copy, momentum_at

__all__ = ["Queue", "follow", "frozen_copy", "momentum_at"]
