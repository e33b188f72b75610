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
"""Gradients and update by one batch."""


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
        optimizer: its learning rates become a tensor on the device, which the graph reads.
        device: a CUDA device.
    """

    def __init__(self, compute: Compute, optimizer: Optimizer, device: torch.device) -> None:
        self.compute, self.device = compute, device
        self.rate = torch.zeros((), device=device)
        for group in optimizer.param_groups:
            group["lr"] = self.rate
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
        self.rate.fill_(rate)
        form = _form(batch)
        if form not in self.inputs:  # the first step of all, and where a run's support ends
            self.inputs[form] = _Inputs(batch)
        inputs = self.inputs[form]
        if self.ready is not batch:
            inputs.take(batch, progress)
        self.ready = None
        fixed = cast(Progress, FixedProgress(progress))
        inputs.steps += 1
        if inputs.steps == 1:  # the step that asks for the views, and so makes them
            return apart(lambda: self.compute(inputs.batch, progress), self.device)
        if inputs.steps > WARM_UP and inputs.graph is None and not self.failed:
            inputs.graph = self.capture(lambda: self.compute(inputs.batch, fixed))
        if inputs.graph is None:
            return apart(lambda: self.compute(inputs.batch, fixed), self.device)
        inputs.graph.replay()
        return inputs.graph.result

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

    def __init__(self, batch: Batch) -> None:
        self.batch = _with_own_memory(batch)
        self.steps = 0
        self.graph: Graph | None = None

    def take(self, batch: Batch, progress: Progress) -> None:
        """Write a batch and its views."""
        own, new = self.batch, batch
        while own is not None and new is not None:
            for target, tensor in zip(_tensors(own), _tensors(new), strict=True):
                target.copy_(tensor, non_blocking=True)
            _views(own).make(own.pixels, lambda name, rows=own: progress.rng(name, rows))
            own, new = own.support, new.support  # type: ignore[assignment]


class FixedProgress:
    """The progress of training that a captured step may read: nothing that changes from step to step."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.steps = progress.steps
        self.seed = progress.seed
        self.steps_per_epoch = progress.steps_per_epoch
        self.rank, self.world_size = progress.rank, progress.world_size

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
    accumulate: int,
    method: Method,
    nets: Nets,
    batch: Batch,
    progress: Progress,
) -> str:
    """Why the steps of a run cannot be captured; empty if they can.

    Args:
        fabric: launched.
        gradients: what computes them, as `gradients_of` chose it.
        accumulate: batches whose gradients make one step.
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
    if accumulate > 1:
        return "gradients of several batches make a step"
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
                method.step(twin, few, cast(Progress, FixedProgress(progress))).loss.backward()
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
