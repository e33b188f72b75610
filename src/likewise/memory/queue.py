"""A first-in, first-out memory of embeddings, and of what is known about each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Queue(nn.Module):
    """The last ``length`` embeddings, oldest overwritten first (MoCo; He et al. 2020, https://arxiv.org/abs/1911.05722).

    Its ``rows`` start as random unit vectors. Each is normalised by itself; the ISD authors' first script normalises
    across rows instead, which makes its first targets almost uniform. Read before you push: a step must not meet its
    own keys.

    Args:
        length: how many embeddings it holds.
        width: of an embedding.
        beside: widths of further columns by name, for what belongs to each embedding: ``Queue(2560, 64, guesses=10)``
            has ``queue.guesses`` [2560, 10] beside ``queue.rows`` [2560, 64]. They start as zeros.
    """

    rows: Tensor
    pushed: Tensor

    def __init__(self, length: int, width: int, **beside: int) -> None:
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(length, width), dim=1))
        for name, columns in beside.items():
            self.register_buffer(name, torch.zeros(length, columns))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))
        self.columns = ("rows", *beside)

    def __len__(self) -> int:
        """How many embeddings it holds."""
        return len(self.rows)

    @property
    def held(self) -> Tensor:
        """Bool [length]: which rows have been pushed, and are not what it started with."""
        return torch.arange(len(self), device=self.rows.device) < self.pushed

    @torch.no_grad()
    def push(self, new: Tensor, **beside: Tensor) -> None:
        """Store rows [B, D] and their further columns [B, ...] over the oldest.

        A batch that does not divide the length wraps around.
        """
        if ("rows", *beside) != self.columns:
            raise ValueError(f"The queue's columns are {self.columns}, but {('rows', *beside)} were pushed.")
        kept = min(len(new), len(self))
        where = (self.pushed + len(new) - kept + torch.arange(kept, device=new.device)) % len(self)
        for name, column in {"rows": new, **beside}.items():
            memory: Tensor = getattr(self, name)
            memory[where] = column.detach()[len(new) - kept :].to(memory.dtype)
        self.pushed += len(new)


def queue_warning(length: int, examples: int) -> list[str]:
    """What to tell of a queue so long that many of its keys are of the examples that they are compared with."""
    allowed = max(examples // 4, 1)
    if length <= allowed:
        return []
    return [
        f"the queue keeps {length:,} keys of {examples:,} training examples, so that examples are pushed away from "
        f"themselves. Give --method.queue {allowed}, a quarter of them, or fewer."
    ]
