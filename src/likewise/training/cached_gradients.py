"""The gradient of one batch, computed at once or in microbatches.

A method's step has two halves: `Method.embed` works on each example alone, and `Method.compute_loss` couples the rows
of the whole batch. Between the two a batch can be cut: the networks embed one microbatch at a time, and the gradient
is still that of the whole batch, for every method.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.methods import Method, Nets, Outputs, Progress, Step
from likewise.methods.manual_optimization import Objective
from likewise.training.one_device import OneDevice
from likewise.training.running_statistics import running_statistics
from likewise.training.teacher_rows import TeacherRows

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Learner(nn.Module):
    """A method bound to its networks: one forward gives one loss. Data parallelism and autocast wrap it."""

    def __init__(self, method: Method | Objective, nets: Nets) -> None:
        super().__init__()
        self.method, self.nets = method, nets

    def forward(self, batch: Batch, progress: Progress, embed_only: bool = False) -> Step | Outputs:
        """One step of the method, or the rows of its first half."""
        if embed_only:
            return self.method.embed(self.nets, batch, progress)
        return self.method.step(self.nets, batch, progress)


def gradients_of(
    fabric: Fabric | OneDevice, learner: nn.Module, pieces: int
) -> JointGradients | CachedGradients:
    """What computes the gradient of a batch: at once, or in microbatches if there are several ``pieces``."""
    return (
        CachedGradients(fabric, learner, pieces) if pieces > 1 else JointGradients(fabric, learner)
    )


class JointGradients:
    """The whole batch through the networks at once."""

    def __init__(self, fabric: Fabric | OneDevice, learner: nn.Module) -> None:
        self.fabric, self.learner = fabric, learner

    def forward(self, batch: Batch, progress: Progress) -> Step:
        """The method's step."""
        return self.learner(batch, progress)

    def backward(self, step: Step) -> None:
        """Add the step's gradients to ``.grad`` of the parameters."""
        self.fabric.backward(step.loss)


class CachedGradients:
    """The same gradients with the memory of a microbatch: GradCache (Gao et al. 2021, Sec. 3.2).

    https://arxiv.org/abs/2101.06983. It takes two passes:

    1. The first pass embeds each microbatch without gradient and stores the rows. The loss over all rows gives the
       gradient of each row.
    2. The second pass embeds each microbatch again, with the same views and the same dropout, and propagates the
       gradients of the rows to the parameters.

    The sum is the gradient of the whole batch. With N devices the rows are gathered as in `Method.step`, and the
    devices average their gradients once a step.

    Three things differ from the paper. The first pass embeds its last microbatch with gradient, so that it need not be
    embedded again. Features of a teacher are kept from the first pass to the second. And parameters that the loss
    itself uses (prototypes, a classifier) get their gradient too.

    Batch normalisation alone makes a difference: as in the paper, it normalises by the statistics of a microbatch over
    all devices, not by those of the whole batch. Its running statistics move once a step, by the mean over the
    microbatches. The variance between the means of microbatches is not included.

    Args:
        fabric: launched.
        learner: a `Learner`, set up by ``fabric``.
        pieces: microbatches in a device's batch; at least 2.
    """

    def __init__(self, fabric: Fabric | OneDevice, learner: nn.Module, pieces: int) -> None:
        self.fabric, self.learner, self.pieces = fabric, learner, pieces
        bound = cast(Learner, learner)  # what wraps it hands its attributes on
        self.method, self.nets = bound.method, bound.nets

    def forward(self, batch: Batch, progress: Progress) -> Step:
        """The first pass, and the loss over all rows."""
        self.parts, self.progress = batch.microbatches(self.pieces), progress
        self.statistics = _RunningStatistics(self.nets)
        self.teacher_rows = TeacherRows(self.nets)
        last = self.pieces - 1
        cached: list[Outputs] = []
        for number in range(last):
            with torch.no_grad(), self.teacher_rows.kept(number):
                cached.append(self._embed_first(number))
        self.last_rows = self._embed_first(last)
        cached.append(self.last_rows)
        self.rows = _joined(cached)
        for name, row in self.rows.items():
            if name in self.last_rows:
                # A teacher's rows take no gradient.
                row.requires_grad_(self.last_rows[name].requires_grad)
            else:  # the last microbatch has no support rows where they are few
                row.requires_grad_(row.is_floating_point())
        with self.fabric.autocast(), self.statistics.of_the_loss():
            step = self.method.gather_and_compute_loss(self.nets, self.rows, progress)
        self.loss = step.loss
        return step._replace(loss=step.loss.detach())

    def backward(self, step: Step) -> None:
        """The second pass: add the gradients to ``.grad`` of the parameters."""
        row_gradients, parameter_gradients = self._gradients_of_the_loss()
        # The first part has rows of every kind, and so ends the pass.
        for number in reversed(range(self.pieces)):
            with self._devices_apart(number):
                rows = self.last_rows if number == self.pieces - 1 else self._embed_again(number)
                own_rows = slice(number, None, self.pieces)
                part_gradients = {
                    name: gradient[own_rows] for name, gradient in row_gradients.items()
                }
                surrogate = _with_gradient(rows, part_gradients)
                if number == 0 and parameter_gradients:
                    surrogate = surrogate + _with_gradient(
                        dict(self.nets.named_parameters()), parameter_gradients
                    )
                self.fabric.backward(surrogate)
        self.statistics.settle(self.pieces)

    def _gradients_of_the_loss(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The gradient of each row, and of each parameter that the loss itself uses.

        They are not scaled, for losses are computed in float32.
        """
        rows = {name: row for name, row in self.rows.items() if row.requires_grad}
        learned = {name: p for name, p in self.nets.named_parameters() if p.requires_grad}
        inputs = [*rows.values(), *learned.values()]
        gradients = torch.autograd.grad(self.loss, inputs, allow_unused=True)
        row_gradients = dict(zip(rows, gradients[: len(rows)], strict=True))
        parameter_gradients = dict(zip(learned, gradients[len(rows) :], strict=True))
        return _without_none(row_gradients), _without_none(parameter_gradients)

    def _embed(self, number: int) -> Outputs:
        """The rows of a part. Both passes get the same views and the same dropout."""
        self.progress.seed_dropout(number)
        return self.learner(self.parts[number], self.progress, embed_only=True)

    def _embed_first(self, number: int) -> Outputs:
        """The rows of a part in the first pass, whose running statistics count."""
        with self._devices_apart(number), self.statistics.of_a_microbatch():
            return self._embed(number)

    def _embed_again(self, number: int) -> Outputs:
        """The same rows again; what was normalised by running statistics is normalised by the same ones."""
        self.statistics.rewind()
        with self.teacher_rows.given_again(number):
            return self._embed(number)

    def _devices_apart(self, number: int) -> AbstractContextManager:
        """No averaging over devices, except with the part that ends the second pass."""
        return self.fabric.no_backward_sync(self.learner, enabled=number > 0)  # type: ignore[arg-type]


class _RunningStatistics:
    """Running statistics of batch normalisation, moved once a step by the mean over the microbatches.

    A microbatch moves them a fixed share of the way to its own statistics. So each microbatch moves them from the same
    start, and the mean of the results is where the mean of the statistics would have moved them.
    """

    def __init__(self, nets: nn.Module) -> None:
        self.buffers = running_statistics(nets)
        self.start = [buffer.clone() for buffer in self.buffers]
        self.total = [torch.zeros_like(buffer) for buffer in self.buffers]
        self.by_loss = self.total

    def rewind(self) -> None:
        """Back to where the step began."""
        for buffer, start in zip(self.buffers, self.start, strict=True):
            buffer.copy_(start)

    @contextmanager
    def of_a_microbatch(self) -> Iterator[None]:
        """Let a microbatch move them from the start, and add up the results."""
        self.rewind()
        yield
        for buffer, total in zip(self.buffers, self.total, strict=True):
            total.add_(buffer)

    @contextmanager
    def of_the_loss(self) -> Iterator[None]:
        """Store how far the loss moves them, where it normalises too."""
        before = [buffer.clone() for buffer in self.buffers]
        yield
        self.by_loss = [buffer - old for buffer, old in zip(self.buffers, before, strict=True)]

    def settle(self, count: int) -> None:
        """Set them to the mean over ``count`` microbatches, moved by the loss; the second pass does not count."""
        for buffer, total, by_loss in zip(self.buffers, self.total, self.by_loss, strict=True):
            mean = total / count if buffer.is_floating_point() else total // count
            buffer.copy_(mean + by_loss)


def _joined(parts: Sequence[Outputs]) -> dict[str, Tensor]:
    """The rows of all parts in the order of the batch, detached; `Batch.microbatches` takes every n-th row."""
    joined: dict[str, Tensor] = {}
    for name in parts[0]:
        pieces = [rows[name].detach() for rows in parts if name in rows]
        count = sum(len(piece) for piece in pieces)
        whole = pieces[0].new_empty(count, *pieces[0].shape[1:])
        for number, piece in enumerate(pieces):
            whole[number :: len(parts)] = piece
        joined[name] = whole
    return joined


def _without_none(gradients: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    return {name: gradient for name, gradient in gradients.items() if gradient is not None}


def _with_gradient(tensors: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> Tensor:
    """A scalar whose gradient with respect to each tensor is the given one."""
    products: list[Tensor] = []
    for name, gradient in gradients.items():
        if name in tensors and tensors[name].requires_grad:
            products.append((tensors[name] * gradient).sum())
    return torch.stack(products).sum()
