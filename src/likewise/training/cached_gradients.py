"""The gradient of one batch, all of it at once or a microbatch at a time: any batch on any device.

A method's step has a seam between `Method.embed`, which works on each example alone, and `Method.compute_loss`, which
couples the rows of the whole batch. Cutting there lets the networks see a microbatch at a time and yet gives the
gradient of the whole batch, once for every method.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.methods import Method, Nets, Outputs, Progress, Step
from likewise.methods.manual_optimization import Objective
from likewise.randomness import seed_networks

if TYPE_CHECKING:
    from likewise.training.manual_backward import OneDevice

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""What PyTorch calls the statistics that a batch normalisation keeps for evaluation."""


class Learner(nn.Module):
    """A method bound to its networks, so that one forward is one loss: what data parallelism and autocast wrap."""

    def __init__(self, method: Method | Objective, nets: Nets) -> None:
        super().__init__()
        self.method, self.nets = method, nets

    def forward(self, batch: Batch, progress: Progress, embed_only: bool = False) -> Step | Outputs:
        """One step of the method, or the rows of its first half."""
        return (self.method.embed if embed_only else self.method.step)(self.nets, batch, progress)


def gradients_of(fabric: Fabric | OneDevice, learner: nn.Module, pieces: int) -> JointGradients | CachedGradients:
    """How the gradient of a batch is made: at once, or in microbatches if there are several ``pieces``."""
    return CachedGradients(fabric, learner, pieces) if pieces > 1 else JointGradients(fabric, learner)


class JointGradients:
    """The whole batch through the networks at once."""

    def __init__(self, fabric: Fabric | OneDevice, learner: nn.Module) -> None:
        self.fabric, self.learner = fabric, learner

    def forward(self, batch: Batch, progress: Progress) -> Step:
        """The method's step."""
        return self.learner(batch, progress)

    def backward(self, step: Step) -> None:
        """Its gradients, added to those of the parameters."""
        self.fabric.backward(step.loss)


class CachedGradients:
    """The same gradients with the memory of a microbatch: GradCache (Gao et al. 2021, Sec. 3.2).

    https://arxiv.org/abs/2101.06983. A first pass embeds one microbatch after the other without gradient and keeps
    the rows; the loss over all of them gives the gradient of each row; a second pass embeds again, with the same views
    and the same dropout, and takes every row's gradient on to the parameters. The sum is the gradient of the whole
    batch, on N devices too: rows are gathered as in `Method.step`, and the devices average once a step.

    Ours differs from the paper twice. The first pass embeds its last microbatch with gradient, which saves embedding it
    again. And parameters that the loss itself uses (prototypes, a classifier) get their gradient too.

    Batch normalisation alone notices: it normalises by the statistics of a microbatch (over all devices), as in the
    paper, where the whole batch would give it those of all. The running statistics, which evaluation uses, move once a
    step, by the mean over the microbatches; how their means differ from each other is not in the variance.

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
        """The first pass, and the second half of the method's step over all its rows."""
        self.parts, self.progress = batch.microbatches(self.pieces), progress
        self.statistics = _RunningStatistics(self.nets)
        cached: list[Outputs] = []
        for number in range(self.pieces):
            last = number == self.pieces - 1
            with torch.set_grad_enabled(last), self._devices_apart(number), self.statistics.of_a_microbatch():
                cached.append(self._embed(number))
        self.kept = cached[-1]
        self.rows = _joined(cached)
        for name, row in self.rows.items():
            # A teacher's rows take no gradient. Support rows can be too few to be in the part that would tell.
            row.requires_grad_(self.kept[name].requires_grad if name in self.kept else row.is_floating_point())
        with self.fabric.autocast(), self.statistics.of_the_loss():
            step = self.method.gather_and_compute_loss(self.nets, self.rows, progress)
        self.loss = step.loss
        return step._replace(loss=step.loss.detach())

    def backward(self, step: Step) -> None:
        """The second pass: gradients added to those of the parameters."""
        of_rows, of_parameters = self._gradients_of_the_loss()
        for number in reversed(range(self.pieces)):  # the first part has rows of every kind, and so ends the pass
            with self._devices_apart(number):
                rows = self.kept if number == self.pieces - 1 else self._embed_again(number)
                mine = {name: gradient[number :: self.pieces] for name, gradient in of_rows.items()}
                carrier = _with_gradient(rows, mine)
                if number == 0 and of_parameters:
                    carrier = carrier + _with_gradient(dict(self.nets.named_parameters()), of_parameters)
                self.fabric.backward(carrier)
        self.statistics.settle(self.pieces)

    def _gradients_of_the_loss(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Of each row and, where the loss itself uses parameters, of those; unscaled, for losses are in float32."""
        rows = {name: row for name, row in self.rows.items() if row.requires_grad}
        learned = {name: p for name, p in self.nets.named_parameters() if p.requires_grad}
        gradients = torch.autograd.grad(self.loss, [*rows.values(), *learned.values()], allow_unused=True)
        of_rows = dict(zip(rows, gradients[: len(rows)], strict=True))
        of_parameters = dict(zip(learned, gradients[len(rows) :], strict=True))
        return _without_none(of_rows), _without_none(of_parameters)

    def _embed(self, number: int) -> Outputs:
        """A part's rows; both passes see the same views and drop the same units."""
        seed_networks(self.progress.seed, self.progress.step, self.progress.rank, "dropout", number)
        return self.learner(self.parts[number], self.progress, embed_only=True)

    def _embed_again(self, number: int) -> Outputs:
        """The same rows once more; those that were normalised by kept statistics are again, by the same ones."""
        self.statistics.rewind()
        return self._embed(number)

    def _devices_apart(self, number: int) -> AbstractContextManager:
        """Devices average their gradients once a step, with the part that ends the second pass."""
        return self.fabric.no_backward_sync(self.learner, enabled=number > 0)  # type: ignore[arg-type]


class _RunningStatistics:
    """What batch normalisation keeps for evaluation: moved once a step, by the mean over the microbatches.

    It moves by a share of the way towards a microbatch's statistics, so the mean of where each microbatch would have
    moved it, all from the same start, is where the mean of their statistics moves it.
    """

    def __init__(self, nets: nn.Module) -> None:
        learning = [module for module in nets.modules() if module.training]  # what is done keeps its own to the bit
        self.buffers = [b for m in learning for name, b in m.named_buffers(recurse=False) if name in STATISTICS]
        self.start = [buffer.clone() for buffer in self.buffers]
        self.total = [torch.zeros_like(buffer) for buffer in self.buffers]
        self.by_loss = self.total

    def rewind(self) -> None:
        """Back to where the step began."""
        for buffer, start in zip(self.buffers, self.start, strict=True):
            buffer.copy_(start)

    @contextmanager
    def of_a_microbatch(self) -> Iterator[None]:
        """Let a microbatch move them from the start, and remember where to."""
        self.rewind()
        yield
        for buffer, total in zip(self.buffers, self.total, strict=True):
            total.add_(buffer)

    @contextmanager
    def of_the_loss(self) -> Iterator[None]:
        """Remember how far the loss moves them, should it normalise too."""
        before = [buffer.clone() for buffer in self.buffers]
        yield
        self.by_loss = [buffer - old for buffer, old in zip(self.buffers, before, strict=True)]

    def settle(self, count: int) -> None:
        """Put them where the mean of ``count`` microbatches and the loss lead, whatever has moved them since."""
        for buffer, total, by_loss in zip(self.buffers, self.total, self.by_loss, strict=True):
            buffer.copy_((total / count if buffer.is_floating_point() else total // count) + by_loss)


def _joined(parts: Sequence[Outputs]) -> dict[str, Tensor]:
    """The rows of parts that `Batch.microbatches` dealt, each back in its place and cut from what computed it."""
    concat: dict[str, Tensor] = {}
    for name in parts[0]:
        pieces = [rows[name].detach() for rows in parts if name in rows]
        whole = pieces[0].new_empty(sum(map(len, pieces)), *pieces[0].shape[1:])
        for number, piece in enumerate(pieces):
            whole[number :: len(parts)] = piece
        concat[name] = whole
    return concat


def _without_none(gradients: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    return {name: gradient for name, gradient in gradients.items() if gradient is not None}


def _with_gradient(tensors: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> Tensor:
    """A scalar whose gradient with respect to each tensor is the given one."""
    learned = [(tensors[name], g) for name, g in gradients.items() if name in tensors and tensors[name].requires_grad]
    return torch.stack([(tensor * gradient).sum() for tensor, gradient in learned]).sum()
