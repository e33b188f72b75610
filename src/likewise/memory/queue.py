"""A first-in, first-out memory of embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Queue(nn.Module):
    """The last ``length`` embeddings, oldest overwritten first (MoCo; He et al. 2020, https://arxiv.org/abs/1911.05722).

    It starts with random unit rows. Each row is normalised by itself; the ISD authors' first script normalises
    across rows instead, which makes its first targets almost uniform. Read before you push: a step must not meet its
    own keys.
    """

    rows: Tensor
    place: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(length, width), dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        """How many embeddings it holds."""
        return len(self.rows)

    @torch.no_grad()
    def push(self, new: Tensor) -> None:
        """Store rows [B, D] over the oldest; a batch that does not divide the length wraps around."""
        new = new.detach()[-len(self.rows) :].to(self.rows.dtype)
        where = (self.place + torch.arange(len(new), device=new.device)) % len(self.rows)
        self.rows[where] = new
        self.place.copy_((self.place + len(new)) % len(self.rows))
