"""The reference inputs: closed-form vectors without any random numbers."""

import torch
import torch.nn.functional as F


def raw(rows: int, width: int, offset: float) -> torch.Tensor:
    i = torch.arange(rows, dtype=torch.float64)[:, None]
    k = torch.arange(width, dtype=torch.float64)[None, :]
    return torch.sin(1 + offset + 0.7 * i + 1.3 * k + 0.1 * i * k)


def unit(x: torch.Tensor) -> torch.Tensor:
    return F.normalize(x, dim=1)


ZA, ZB = unit(raw(4, 3, 0)), unit(raw(4, 3, 0.5))
Z = torch.cat([ZA, ZB])
LABELS = torch.tensor([0, 0, 1, 1]).repeat(2)
QUEUE = unit(raw(5, 3, 2))
