"""A training step as one CUDA graph: launched at once, so that the GPU never waits for Python.

A method's step is captured after a few steps have run as usual. Views are made before each step into memory that the
graph reads; what changes from step to step without being a tensor (schedules of `Method.after_update`) stays outside.
The numbers are those of the same step without a graph, to rounding.

CUDA graphs in PyTorch: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from likewise.collectives import world_size
from likewise.data.batch import Batch
from likewise.errors import LikewiseError
from likewise.methods import Method, Nets, Progress, Step
from likewise.methods.user_views import view_settings
from likewise.training.cached_gradients import JointGradients
from likewise.training.precision import precision_of
from likewise.views.from_callable import CallableViews
from likewise.views.prepared import PreparedViews

if TYPE_CHECKING:
    from lightning_fabric import Fabric

WARM_UP = 3
"""Steps before the capture: libraries choose their algorithms, and optimisers make their state."""

DRY_RUN_IMAGES = 8
"""Images of the step on a copy of the networks that shows whether a method can be captured."""

CUDAGraph = Literal["auto", "on", "off"]
"""Whether steps are captured: where that is possible, or else refused, or never."""

Compute = Callable[[Batch, Progress], Step]
"""Gradients by one batch, and mostly the update."""


class NotCapturable(LikewiseError):
    """A step that a CUDA graph would freeze wrongly, or cannot hold."""


class Graph(Protocol):
    """A captured piece of work and what it gave; a replay writes new numbers into the same tensors."""

    result: Step

    def replay(self) -> None:
        """Do it again with what the input tensors hold now."""


class CapturedStep:
    """Steps by one batch each, from a CUDA graph as soon as there is one.

    Args:
        compute: what to capture: forward, backward, update. Its ``progress`` knows only what no step changes.
        optimizer: its learning rates become tensors on the device, which the graph reads; None where ``compute`` makes
            no update, and adds to gradients that stay where they are.
        device: a CUDA device.
    """

    def __init__(self, compute: Compute, optimizer: Optimizer | None, device: torch.device) -> None:
        self.compute, self.device = compute, device
        self.groups = optimizer.param_groups if optimizer is not None else []
        for group in self.groups:
            group["lr"] = torch.zeros((), device=device)
            if "capturable" in group:  # AdamW
                group["capturable"] = True
            if "trust_coeff" in group:  # LARS: only this form reads a rate without waiting for it
                group["foreach"] = True
        self.inputs: dict[tuple[Any, ...], _Inputs] = {}
        self.failed = ""
        """why a capture was given up; steps then run as usual"""
        self.ready: Batch | None = None
        """the batch that lies in the graph's memory already, with its views"""

    def prepare(self, batch: Batch, progress: Progress) -> None:
        """Put the next batch and its views where its graph reads them, behind the work in progress.

        A caller that then waits for the device leaves it with work to do, and the next step starts at once.
        """
        inputs = self.inputs.get(_form(batch))
        if inputs is not None and inputs.graph is not None:
            inputs.take(batch, progress)
            self.ready = batch

    def __call__(self, batch: Batch, progress: Progress, rate: float) -> Step:
        """One step. The tensors of the result are overwritten by the next."""
        for group in self.groups:
            group["lr"].fill_(rate * group.get("lr_scale", 1.0))
        inputs = self.inputs_of(batch)
        if self.ready is not batch:
            inputs.take(batch, progress)
        self.ready = None
        if inputs.steps == 0:  # the step that asks for the views, and so makes them
            inputs.steps = 1
            return apart(lambda: self.compute(inputs.batch, progress), self.device)
        if not inputs.fixed.holds_at(progress):
            inputs.forget_graph()
        inputs.steps += 1
        if inputs.steps > WARM_UP and inputs.graph is None and not self.failed:
            inputs.fixed = fixed = inputs.fixed.for_graph(progress)
            inputs.graph = self.capture(
                lambda: self.compute(inputs.batch, cast(Progress, fixed.from_start()))
            )
        if inputs.graph is None:
            inputs.fixed = FixedProgress(progress, self.device)
            now = cast(Progress, inputs.fixed)
            return apart(lambda: self.compute(inputs.batch, now), self.device)
        inputs.fixed.write_numbers(progress)
        inputs.graph.replay()
        return inputs.graph.result

    def inputs_of(self, batch: Batch) -> _Inputs:
        """The memory for batches of this form; new at the first step of all, and where a run's support ends."""
        form = _form(batch)
        if form not in self.inputs:
            self.inputs[form] = _Inputs(batch, self.device)
        return self.inputs[form]

    def comes_from_graph(self, batch: Batch, progress: Progress) -> bool:
        """Whether the step by this batch, which is the next, will be captured or replayed."""
        inputs = self.inputs_of(batch)
        return inputs.steps >= WARM_UP and not self.failed and inputs.fixed.holds_at(progress)

    def forget_graphs(self) -> None:
        """Steps run as usual again before they are captured."""
        for inputs in self.inputs.values():
            inputs.forget_graph()

    def capture(self, work: Callable[[], Step]) -> Graph | None:
        """The work as a graph; None where PyTorch refuses, which `failed` then quotes."""
        try:
            return captured(work)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # PyTorch's end of a capture says only that something failed before
            cause = error.__context__ or error
            self.failed = str(cause).partition("\n")[0]
            return None


class _Inputs:
    """Memory for batches of one form, and the graph that reads it."""

    def __init__(self, batch: Batch, device: torch.device) -> None:
        self.batch = _with_own_memory(batch)
        self.steps = 0
        """of this form, since the first or since the loss took another branch"""
        self.graph: Graph | None = None
        self.fixed = FixedProgress(NO_PROGRESS, device)
        """what the newest step, or the graph, read"""

    def forget_graph(self) -> None:
        """Begin to warm up again; the views are there."""
        self.graph, self.steps = None, min(self.steps, 1)

    def take(self, batch: Batch, progress: Progress) -> None:
        """Write a batch and its views."""
        own, new = self.batch, batch
        while own is not None and new is not None:
            for target, tensor in zip(_tensors(own), _tensors(new), strict=True):
                target.copy_(tensor, non_blocking=True)
            _views(own).make(own.pixels, lambda name, rows=own: progress.rng(name, rows))
            own, new = own.support, new.support  # type: ignore[assignment]


Branch = tuple[Callable[[Progress], Any], Any]
"""A choice by the step, and its answer."""

Number = tuple[Callable[[Progress], float], Tensor]
"""A number that changes with the step, and where a graph reads it."""

NO_PROGRESS = Progress(0, 1)


class FixedProgress:
    """The progress of training that a captured step may read: nothing that changes from step to step.

    Two things may: branches, whose answers are recorded, and scheduled numbers, which are tensors.

    Args:
        progress: at this step.
        device: of the numbers.
        numbers: where the numbers of a graph lie; None makes them.
    """

    def __init__(
        self, progress: Progress, device: torch.device, numbers: list[Number] | None = None
    ) -> None:
        self._progress, self._device = progress, device
        self.steps = progress.steps
        self.seed = progress.seed
        self.steps_per_epoch = progress.steps_per_epoch
        self.rank, self.world_size = progress.rank, progress.world_size
        self._given = numbers
        self._branches: list[Branch] = []
        self._numbers: list[Number] = []

    def from_start(self) -> FixedProgress:
        """The same, of which nothing has been asked."""
        self._branches, self._numbers = [], []
        return self

    def for_graph(self, progress: Progress) -> FixedProgress:
        """For a capture, which uses the numbers that this one made."""
        return FixedProgress(progress, self._device, self._numbers)

    def branch(self, choice: Callable[[Progress], Any]) -> Any:
        """The answer of a choice at this step."""
        answer = choice(self._progress)
        self._branches.append((choice, answer))
        return answer

    def scheduled(self, schedule: Callable[[Progress], float]) -> Tensor:
        """A scalar; in a graph, the memory that `write_numbers` writes."""
        if self._given is None:
            value = torch.full((), schedule(self._progress), device=self._device)
        else:
            _, value = self._given[len(self._numbers)]
        self._numbers.append((schedule, value))
        return value

    def holds_at(self, progress: Progress) -> bool:
        """Whether all choices would be answered as they were."""
        return all(choice(progress) == answer for choice, answer in self._branches)

    def write_numbers(self, progress: Progress) -> None:
        """Put the numbers of a step where its graph reads them."""
        for schedule, value in self._given or []:
            value.fill_(schedule(progress))

    def rng(self, name: str, batch: Batch) -> FixedRNG:
        """The name of a random stream, by which prepared views are found."""
        return FixedRNG((self.seed, name), batch.size)

    def __getattr__(self, name: str) -> Any:
        raise NotCapturable(f"its loss reads progress.{name}, which each step changes")


class FixedRNG:
    """A random stream that has been used already, to make the views."""

    def __init__(self, key: tuple[int | str, ...], rows: int) -> None:
        self.key, self.rows = key, rows

    def __getattr__(self, name: str) -> Any:
        raise NotCapturable(
            f"it draws random numbers ({self.key[-1]!r}) other than those of its views"
        )


def has_graphs(device: torch.device) -> bool:
    """Whether PyTorch can capture work on a device."""
    return device.type == "cuda"


def why_not_this_optimizer(optimizer: Optimizer) -> str:
    """Why an optimiser's step cannot be captured; empty if it can."""
    if any("trust_coeff" in group and "foreach" not in group for group in optimizer.param_groups):
        return "LARS reads its learning rate on the host in timm before 1.0.31; pip install --upgrade timm"
    return ""


def why_not_captured(
    fabric: Fabric,
    gradients: object,
    method: Method,
    nets: Nets,
    batch: Batch,
    progress: Progress,
) -> str:
    """Why the steps of a run cannot be captured; empty if they can.

    Args:
        fabric: launched.
        gradients: what computes them, as `gradients_of` chose it.
        method: the rule.
        nets: what it built; they stay as they are.
        batch: any, on the device.
        progress: any.
    """
    if not has_graphs(fabric.device):
        return f"the device is {fabric.device.type}"
    if world_size() > 1:
        return "several devices train together"
    if not isinstance(gradients, JointGradients):
        return "a batch is embedded in microbatches"
    precision = precision_of(fabric)
    if precision not in ("32-true", "bf16-mixed"):
        return f"precision {precision} scales the loss by a number that the host reads"
    return _why_not_this_method(method, nets, batch, progress, fabric.autocast)


def _why_not_this_method(
    method: Method,
    nets: Nets,
    batch: Batch,
    progress: Progress,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> str:
    """Found by a dry run on a copy of the networks."""
    if type(method).before_step is not Method.before_step:
        return "it updates networks of its own in each step"
    if any(isinstance(getattr(method, name), CallableViews) for name in view_settings(method)):
        return "its views are made by a callable, one image at a time"
    few = _with_own_memory(batch.microbatches(max(batch.size // DRY_RUN_IMAGES, 1))[0])
    twin = copy.deepcopy(nets)
    try:
        with autocast():
            method.step(twin, few, progress)  # makes the views
            with refusing_to_wait(batch.labels.device):
                fixed = FixedProgress(progress, batch.labels.device)
                method.step(twin, few, cast(Progress, fixed)).loss.backward()
    except (LikewiseError, RuntimeError) as reason:
        return str(reason).partition("\n")[0]
    return ""


@contextmanager
def refusing_to_wait(device: torch.device) -> Iterator[None]:
    """While the context is open, PyTorch raises where the host would wait for a GPU."""
    if device.type != "cuda":
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def apart(work: Callable[[], Step], device: torch.device) -> Step:
    """Work on a stream of its own, as PyTorch asks for before a capture."""
    if device.type != "cuda":
        return work()
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        result = work()
    torch.cuda.current_stream(device).wait_stream(stream)
    return result


def captured(work: Callable[[], Step]) -> Graph:
    """The work as a CUDA graph; it has not run yet."""
    return _CUDAGraph(work)


class _CUDAGraph:
    def __init__(self, work: Callable[[], Step]) -> None:
        self.graph = torch.cuda.CUDAGraph()
        # Other threads (a loader's, which pins memory) may call CUDA meanwhile.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.result = work()

    def replay(self) -> None:
        """Launch it."""
        self.graph.replay()


def _form(batch: Batch | None) -> tuple[Any, ...]:
    """Which batches fit the same memory."""
    if batch is None:
        return ()
    shapes = tuple((tensor.shape, tensor.dtype) for tensor in _tensors(batch))
    return (*shapes, *_form(batch.support))


def _tensors(batch: Batch) -> list[Tensor]:
    """Its own, those of the support left out."""
    return [*batch.pixels.tensors(), batch.labels, batch.indices, *batch.modalities.values()]


def _with_own_memory(batch: Batch) -> Batch:
    """A copy whose views are to be prepared."""
    pixels = batch.pixels._replace(views=None).map(torch.clone)
    return batch._replace(
        pixels=pixels._replace(views=PreparedViews()),
        labels=batch.labels.clone(),
        indices=batch.indices.clone(),
        support=None if batch.support is None else _with_own_memory(batch.support),
        modalities={name: rows.clone() for name, rows in batch.modalities.items()},
    )


def _views(batch: Batch) -> PreparedViews:
    return cast(PreparedViews, batch.pixels.views)
