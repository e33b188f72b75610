"""A first-in, first-out memory of embeddings, and of what is known about each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likewise.counts import amount
from likewise.field_types import COUNT, SIZE, typed_arguments


class Queue(nn.Module):
    """The last ``length`` embeddings, oldest overwritten first (MoCo; He et al. 2020, https://arxiv.org/abs/1911.05722).

    Its ``rows`` start as random vectors of unit length. (The ISD authors' first script normalises across rows instead,
    which makes its first targets almost uniform.) Read it before pushing: a step must not see its own keys.

    Args:
        length: how many embeddings it holds; 0 holds none.
        width: of an embedding.
        columns: widths of further columns by name: ``Queue(2560, 64, probabilities=10)`` has
            ``queue.probabilities`` [2560, 10] for ``queue.rows`` [2560, 64]. They start as zeros.
    """

    rows: Tensor
    pushed: Tensor

    @typed_arguments(length=COUNT, width=SIZE)
    def __init__(self, length: int, width: int, **columns: int) -> None:
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(length, width), dim=1))
        for name, column_width in columns.items():
            self.register_buffer(name, torch.zeros(length, column_width))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))
        self.columns = ("rows", *columns)

    def __len__(self) -> int:
        """How many embeddings it holds."""
        return len(self.rows)

    @property
    def filled(self) -> Tensor:
        """Bool [length]: which rows have been pushed; the others are as at the start."""
        return torch.arange(len(self), device=self.rows.device) < self.pushed

    @torch.no_grad()
    def push(self, new: Tensor, **columns: Tensor) -> None:
        """Store rows [B, D] and their further columns [B, ...] over the oldest.

        A batch that does not divide the length wraps around.
        """
        if ("rows", *columns) != self.columns:
            raise ValueError(
                f"The queue's columns are {self.columns}, but {('rows', *columns)} were pushed."
            )
        count = min(len(new), len(self))  # of a batch longer than the queue only the last rows stay
        first = self.pushed + len(new) - count
        positions = (first + torch.arange(count, device=new.device)) % len(self)  # [count]
        for name, column in {"rows": new, **columns}.items():
            memory: Tensor = getattr(self, name)
            newest = column.detach()[len(new) - count :]
            memory[positions] = newest.to(memory.dtype)
        self.pushed += len(new)


class BatchHistory(Queue):
    """A queue of one row for each past batch, such as its mean prediction; its length is counted in batches."""


@typed_arguments()
def embedding_queues(nets: nn.Module) -> list[Queue]:
    """The queues of networks whose rows are embeddings of single examples."""
    queues = [module for module in nets.modules() if isinstance(module, Queue)]
    return [queue for queue in queues if not isinstance(queue, BatchHistory)]


@typed_arguments(examples=COUNT)
def queue_warnings(nets: nn.Module, examples: int) -> list[str]:
    """A warning for each length of queue that exceeds the training set.

    Such a queue holds every training example at least once, so an example is compared with its own earlier embeddings.

    Args:
        nets: the networks of a method.
        examples: training examples.
    """
    lengths = {len(queue) for queue in embedding_queues(nets)}
    allowed = max(examples // 4, 1)
    return [
        f"the queue holds {amount(length, 'embedding')}, but there are only {amount(examples, 'training example')}, "
        f"so each example is compared with its own earlier embeddings. Give --method.queue {allowed} "
        f"(a quarter of the examples) or less."
        for length in sorted(lengths)
        if length > examples
    ]
