"""A training step as one CUDA graph: launched at once, so that the GPU never waits for Python.

A method's step is captured after a few steps have run as usual, its views with it: the host writes the batch, and in
one copy the learning rates, the scheduled numbers and the keys of the random streams; of a batch whose set lies on the
GPU the positions, in the same copy. What else changes from step to step without being a tensor (schedules of
`Method.after_update`) stays outside. The numbers are those of the same step without a graph, to rounding.

CUDA graphs in PyTorch: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import torch
from torch.optim import Optimizer

from likewise.collectives import world_size
from likewise.data.batch import Batch
from likewise.data.stored_batch import Examples
from likewise.errors import LikewiseError
from likewise.methods import Method, Nets, Progress, Step
from likewise.methods.user_views import view_settings
from likewise.randomness import random_state
from likewise.training.batch_memory import BatchMemory, form_of, with_own_memory
from likewise.training.host_draws import refusing_host_draws
from likewise.training.one_device_gradients import OneDeviceGradients
from likewise.training.precision import precision_of
from likewise.training.step_numbers import SLOTS, FixedProgress, NotCapturable, StepNumbers
from likewise.views.from_callable import CallableViews

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


class Graph(Protocol):
    """A captured piece of work and what it gave; a replay writes new numbers into the same tensors."""

    result: Step

    def replay(self) -> None:
        """Do it again with what the input tensors hold now."""


class _Inputs:
    """What the steps by batches of one form read, and the graph that reads it."""

    def __init__(self, examples: Examples, numbers: StepNumbers, progress: Progress) -> None:
        self.memory = BatchMemory(examples, numbers)
        self.progress = FixedProgress(numbers, progress)
        self.steps = 0
        """of this form, since the first or since the loss took another branch"""
        self.graph: Graph | None = None

    def forget_graph(self) -> None:
        """Warm up again, the first step left out: what it chose and made is there."""
        self.graph, self.steps = None, min(self.steps, 1)

    def step_by(self, compute: Compute) -> Step:
        """The step by what lies in memory."""
        return compute(self.memory.batch(), cast(Progress, self.progress.from_start()))


class CapturedStep:
    """Steps by one batch each, from a CUDA graph as soon as there is one.

    Args:
        compute: what to capture: views, forward, backward, update. Its ``progress`` knows only what no step changes.
        optimizer: its learning rates become tensors on the device, which the graph reads; None where ``compute`` makes
            no update, and adds to gradients that stay where they are.
        device: a CUDA device.
        positions: greatest number of examples of a step, support included, where they come as a `StoredBatch`.
    """

    def __init__(
        self,
        compute: Compute,
        optimizer: Optimizer | None,
        device: torch.device,
        positions: int = 0,
    ) -> None:
        self.compute, self.device = compute, device
        groups = optimizer.param_groups if optimizer is not None else []
        self.numbers = StepNumbers(device, SLOTS + len(groups), positions)
        self.rates: list[tuple[int, float]] = []
        """of each group: the slot of its learning rate, and what that is multiplied by"""
        for group in groups:
            slot = self.numbers.new()
            self.rates.append((slot, group.get("lr_scale", 1.0)))
            group["lr"] = self.numbers.scalar(slot)
            if "capturable" in group:  # AdamW
                group["capturable"] = True
            if "trust_coeff" in group:  # LARS: only this form reads a rate without waiting for it
                group["foreach"] = True
        self.inputs: dict[tuple[Any, ...], _Inputs] = {}
        self.failed = ""
        """why a capture was given up; steps then run as usual"""

    def __call__(self, examples: Examples, progress: Progress, rate: float) -> Step:
        """One step. The tensors of the result are overwritten by the next."""
        inputs = self.inputs_of(examples, progress)
        if not inputs.progress.holds_at(progress):
            inputs.forget_graph()
        inputs.memory.take(examples)
        for slot, scale in self.rates:
            self.numbers.set_scalar(slot, rate * scale)
        inputs.progress.move_to(progress)
        self.numbers.send()
        inputs.steps += 1
        if inputs.steps > WARM_UP and inputs.graph is None and not self.failed:
            inputs.graph = self.capture(lambda: inputs.step_by(self.compute))
        if inputs.graph is None:
            return apart(lambda: inputs.step_by(self.compute), self.device)
        inputs.graph.replay()
        return inputs.graph.result

    def inputs_of(self, examples: Examples, progress: Progress) -> _Inputs:
        """The memory for batches of this form; new at the first step of all, and where a run's support ends."""
        form = form_of(examples)
        if form not in self.inputs:
            self.inputs[form] = _Inputs(examples, self.numbers, progress)
        return self.inputs[form]

    def comes_from_graph(self, examples: Examples, progress: Progress) -> bool:
        """Whether the step by this batch, which is the next, will be captured or replayed."""
        inputs = self.inputs_of(examples, progress)
        return inputs.steps >= WARM_UP and not self.failed and inputs.progress.holds_at(progress)

    def forget_graphs(self) -> None:
        """Steps run as usual again before they are captured."""
        for inputs in self.inputs.values():
            inputs.forget_graph()

    def capture(self, work: Callable[[], Step]) -> Graph | None:
        """The work as a graph; None where PyTorch refuses, which `failed` then quotes."""
        try:
            with refusing_host_draws(self.device):
                return captured(work)
        except torch.cuda.OutOfMemoryError:
            self.failed = "it does not fit the GPU's memory beside what steps have left there"
            return None
        except NotCapturable as error:
            self.failed = str(error)
            return None
        except RuntimeError as error:
            # PyTorch's end of a capture says only that something failed before
            cause = error.__context__ or error
            self.failed = str(cause).partition("\n")[0]
            return None


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
    pieces: int,
    method: Method,
    nets: Nets,
    batch: Batch,
    progress: Progress,
) -> str:
    """Why the steps of a run cannot be captured; empty if they can.

    Args:
        fabric: launched.
        pieces: microbatches in a batch.
        method: the rule.
        nets: what it built; they stay as they are.
        batch: any, on the device.
        progress: any.
    """
    if not has_graphs(fabric.device):
        return f"the device is {fabric.device.type}"
    if world_size() > 1:
        return "several devices train together"
    precision = precision_of(fabric)
    if precision not in ("32-true", "bf16-mixed"):
        return f"precision {precision} scales the loss by a number that the host reads"
    return _why_not_this_method(fabric, pieces, method, nets, batch, progress)


def _why_not_this_method(
    fabric: Fabric, pieces: int, method: Method, nets: Nets, batch: Batch, progress: Progress
) -> str:
    """Found by a dry run on a copy of the networks."""
    if any(isinstance(getattr(method, name), CallableViews) for name in view_settings(method)):
        return "its views are made by a callable, one image at a time"
    few = with_own_memory(batch.microbatches(max(batch.size // DRY_RUN_IMAGES, 1))[0])
    twin, device = copy.deepcopy(nets), batch.labels.device
    fixed = FixedProgress(StepNumbers(device), progress)
    add_gradients = OneDeviceGradients(fabric, method, twin, min(pieces, 2))
    before = random_state(device)
    try:
        add_gradients(few, cast(Progress, fixed))  # constants reach the device
        with refusing_to_wait(device), refusing_host_draws(device):
            add_gradients(few, cast(Progress, fixed.from_start()))
    except (LikewiseError, RuntimeError) as reason:
        return str(reason).partition("\n")[0]
    if pieces > 1 and random_state(device) != before:
        return "microbatches are embedded twice with the same dropout, for which a graph cannot be seeded"
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
