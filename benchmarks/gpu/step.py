"""A training step: through the loop as it is, from a CUDA graph, compiled; and what the GPU does in it.

Two views of images of CIFAR-10's shape, ResNet-18 with the small stem, batches of 512, bfloat16, channels last.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch.profiler import ProfilerActivity, profile

import likewise
from gpu import floors
from gpu.bare_run import BareRun, Run
from gpu.cifar import Split
from gpu.section import Clock, Result, Section, milliseconds, take_turns
from likewise.data.batch import Pixels
from likewise.data.images import InMemoryImages
from likewise.data.loader import Loader
from likewise.encoders import EncoderSettings, build_encoder
from likewise.errors import LikewiseError
from likewise.methods import METHODS, Method, Nets, Recipe, with_view_size
from likewise.methods.simclr import SimCLR
from likewise.training import LoopSettings, train
from likewise.training.callbacks import Callback, CallbackState
from likewise.training.captured_step import CUDAGraph
from likewise.views.policies import simclr_small

CLASSES = 10
EPOCH = 50_000 // 512
"""steps of CIFAR-10 with batches of 512"""
UNCOUNTED = 12
"""steps before the clock starts: warm-up and capture"""
COMPARED = ("moco-v2", "byol", "isd", "suncet", "comatch")
"""beside the time of their own views and networks"""
PYTORCH_NORM = "graph alone, PyTorch's batch normalisation"
OTHERS = ("fixmatch", "supcon", "ugan")
PIECES = 4
"""microbatches of a batch"""
RECIPE = Recipe("sgd", learning_rate=0.06, weight_decay=5e-4)


@dataclass(frozen=True)
class Sizes:
    """Of what is trained; small ones try the section on a CPU."""

    images: int = 20_000
    batch: int = 512
    side: int = 32
    encoder: str = "timm/resnet18"
    small_stem: bool = True
    """of a ResNet"""
    steps: int = 60
    """that are timed where they come from a graph; half of them for the other methods, a third eager or profiled"""
    replays: int = 15
    """of a graph alone"""


class Watch(Callback):
    """Milliseconds of the steps after the first ones, and with ``look`` what the GPU did in some of them."""

    def __init__(self, look: bool = False) -> None:
        self.look, self.start, self.found = look, 0.0, Result()
        self.profiler: Any = None

    def on_step(self, state: CallbackState) -> None:
        """Start, or stop."""
        if state.step not in (UNCOUNTED, state.steps):
            return
        torch.cuda.synchronize()
        if state.step == UNCOUNTED:
            if self.look:
                self.profiler = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
                self.profiler.__enter__()
            self.start = time.perf_counter()
            return
        spent = time.perf_counter() - self.start
        steps = state.steps - UNCOUNTED
        self.found["ms a step"] = round(1e3 * spent / steps, 2)
        if self.profiler is not None:
            self.profiler.__exit__(None, None, None)
            self.found |= busy(self.profiler, spent, steps)


def busy(profiler: Any, spent: float, steps: int) -> Result:
    """Share of the time in which a kernel ran, kernels a step, and where the time went."""
    kernels = [event for event in profiler.events() if str(event.device_type).endswith("CUDA")]
    total: Counter[str] = Counter()
    for event in kernels:
        total[event.name[:60]] += event.device_time
    busiest = {name: round(micro / 1e3 / steps, 3) for name, micro in total.most_common(14)}
    return {
        "GPU busy (share, under the profiler)": round(sum(total.values()) / 1e6 / spent, 3),
        "GPU ms a step": round(sum(total.values()) / 1e3 / steps, 2),
        "kernels a step": round(len(kernels) / steps),
        "busiest (ms a step)": busiest,
    }


def loader_for(method: Method, device: torch.device, sizes: Sizes) -> Loader:
    """Random images; a tenth of them labelled where a support asks for it."""
    generator = torch.Generator().manual_seed(0)
    shape = (sizes.images, 3, sizes.side, sizes.side)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    labels = torch.arange(sizes.images) % CLASSES
    return Loader(
        InMemoryImages(Pixels(images, torch.ones(sizes.images))),
        labels,
        sizes.batch,
        seed=0,
        support=method.support,
    ).on_device(device)


def networks(method: Method, sizes: Sizes) -> Nets:
    """Of a method, with the same first weights each time."""
    torch.manual_seed(0)
    settings = EncoderSettings(
        sizes.encoder,
        sizes.side,
        (0.49, 0.48, 0.45),
        (0.25, 0.24, 0.26),
        small_stem=sizes.small_stem,
    )
    return method.build(build_encoder(settings), CLASSES)


@dataclass(frozen=True)
class Steps:
    """Steps of a method through the training loop."""

    method: Method
    device: torch.device
    sizes: Sizes
    compile: bool = False
    microbatch: int | None = None

    def timed(self, cuda_graph: CUDAGraph, steps: int, look: bool = False) -> Result:
        """Milliseconds of so many steps after the first ones, and seconds with the start."""
        watch, start = Watch(look), time.perf_counter()
        plan = LoopSettings(UNCOUNTED + steps, cuda_graph=cuda_graph, microbatch=self.microbatch)
        self.train(plan, watch, "bf16-mixed")
        watch.found["seconds with start"] = round(time.perf_counter() - start, 1)
        return watch.found

    def train(self, settings: LoopSettings, callback: Callback, precision: Any) -> None:
        """As the settings say."""
        fabric = Fabric(accelerator=self.device.type, devices=1, precision=precision)
        nets = networks(self.method, self.sizes).to(self.device)
        if self.compile:
            nets.encoder.compile()
        loader = loader_for(self.method, self.device, self.sizes)
        train(fabric, self.method, nets, loader, RECIPE, settings, callbacks=[callback])

    def losses(self, cuda_graph: CUDAGraph) -> list[float]:
        """Of six steps in float32."""
        seen: list[float] = []

        class Losses(Callback):
            def on_step(self, state: CallbackState) -> None:
                if state.newest is not None:
                    seen.append(float(state.newest.loss))

        self.train(LoopSettings(6, cuda_graph=cuda_graph), Losses(), "32-true")
        return seen


def bare(
    device: torch.device, sizes: Sizes, compile: bool = False, fused_batch_norm: bool = True
) -> BareRun:
    """SimCLR without the loop's log, display and files, after five steps."""
    generator = torch.Generator().manual_seed(0)
    shape = (sizes.images, 3, sizes.side, sizes.side)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(device)
    method = SimCLR(views=simclr_small())
    run = Run(
        method,
        RECIPE,
        batch=sizes.batch,
        encoder=sizes.encoder,
        compile=compile,
        fused_batch_norm=fused_batch_norm,
    )
    labels = torch.zeros(len(images), dtype=torch.int64, device=device)
    made = BareRun(run, Split(images, labels), None, 5 + sizes.steps)
    made.train(5)
    return made


def graph_alone(device: torch.device, sizes: Sizes, **ways: bool) -> Result:
    """The floor of a step: its graph, replayed without the loop."""
    start = time.perf_counter()
    made = bare(device, sizes, **ways)
    found: Result = {"seconds of warm-up and capture": round(time.perf_counter() - start, 1)}
    if made.graph is None:
        return {**found, "not captured": made.refused}
    return {**found, "ms": round(milliseconds(made.graph.replay, sizes.replays), 3)}


def bare_steps(device: torch.device, sizes: Sizes) -> Result:
    """Milliseconds of a bare step."""
    made = bare(device, sizes)
    before = made.seconds
    made.train(sizes.steps)
    return {"ms a step": round(1e3 * (made.seconds - before) / sizes.steps, 2)}


class Timed(Exception):
    """The steps of a run were timed; what would follow, such as scoring, is left out."""


class StopWhenTimed(Watch):
    """Ends a run with its last step."""

    def on_step(self, state: CallbackState) -> None:
        """Start, or stop."""
        super().on_step(state)
        if state.step == state.steps:
            raise Timed


def whole_train(device: torch.device, sizes: Sizes) -> Result:
    """Milliseconds of a step of `likewise.train`, with its log, display and files."""
    pixels = np.random.default_rng(0).integers(
        0, 256, (sizes.images, sizes.side, sizes.side, 3), np.uint8
    )
    watch, start = StopWhenTimed(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, suppress(Timed):
        likewise.train(
            (pixels, np.arange(sizes.images) % CLASSES),
            labels="none",
            method=SimCLR(views=simclr_small()),
            out=Path(folder) / "run",
            recipe=RECIPE,
            encoder=sizes.encoder,
            callbacks=[watch],
            console=Console(file=io.StringIO()),
            steps=UNCOUNTED + sizes.steps,
            batch_size=sizes.batch,
            num_evals=0,
            device=device.type,
        )
    watch.found["seconds with start"] = round(time.perf_counter() - start, 1)
    return watch.found


def agreement(device: torch.device, sizes: Sizes) -> Result:
    """Greatest difference of the losses of captured and eager steps, over the loss, while rounding has not grown."""
    found: Result = {}
    for name in ("simclr", "suncet", "comatch"):
        steps = Steps(METHODS[name](), device, sizes)
        both = zip(steps.losses("off"), steps.losses("auto"), strict=True)
        found[name] = [round(float(abs(one - two) / abs(one)), 6) for one, two in both]
    return found


def other(name: str, device: torch.device, sizes: Sizes) -> Result:
    """Captured milliseconds of a step, or eager ones and why."""
    steps = Steps(with_view_size(METHODS[name](), sizes.side), device, sizes)
    try:
        return steps.timed("on", sizes.steps // 2)
    except (LikewiseError, RuntimeError) as reason:
        eager = steps.timed("off", sizes.steps // 4)
        return {"not captured": str(reason)[:500], "eager": eager}


def in_microbatches(device: torch.device, sizes: Sizes) -> Result:
    """Eager and captured milliseconds of a step of SimCLR in microbatches."""
    steps = Steps(SimCLR(views=simclr_small()), device, sizes, microbatch=sizes.batch // PIECES)
    few = sizes.steps // 4
    return {"eager": steps.timed("off", few), "captured": steps.timed("auto", few)}


def compared(name: str, device: torch.device, sizes: Sizes) -> Result:
    """The same, beside the time that the views and networks of the method take alone."""
    found, method = other(name, device, sizes), METHODS[name]()
    batch = next(iter(loader_for(method, device, sizes).batches(0, 1))).to(device)
    try:
        floor = floors.floor(method, networks(method, sizes).to(device).train(), batch)
    except Exception as error:  # the step's own time is known
        return {**found, "floor": {"ended": repr(error)[:500]}}
    spent = found.get("ms a step", found.get("eager", {}).get("ms a step"))
    return {**found, **floor, "times the floor": round(spent / floor["floor (ms)"], 3)}


def run(device: torch.device, clock: Clock, sizes: Sizes | None = None) -> None:
    """SimCLR as it is and compiled, then the other methods, then what explains the times.

    The eager steps come first: all that a process does once, such as starting CUDA, is in their start alone.
    """
    sizes = sizes or Sizes()
    simclr = Steps(SimCLR(views=simclr_small()), device, sizes)
    compiled = Steps(simclr.method, device, sizes, compile=True)
    few = sizes.steps // 3
    work: dict[str, Callable[[], Result]] = {
        "simclr eager": lambda: simclr.timed("off", few),
        "simclr captured": lambda: simclr.timed("auto", sizes.steps),
        "bare steps": lambda: bare_steps(device, sizes),
        "graph alone": lambda: graph_alone(device, sizes),
        PYTORCH_NORM: lambda: graph_alone(device, sizes, fused_batch_norm=False),
        "lw.train": lambda: whole_train(device, sizes),
        "simclr captured, compiled": lambda: compiled.timed("auto", sizes.steps),
        "simclr captured, profiled": lambda: simclr.timed("auto", few, look=True),
        **{name: partial(compared, name, device, sizes) for name in COMPARED},
        "simclr compiled, profiled": lambda: compiled.timed("auto", few, look=True),
        "graph alone, compiled": lambda: graph_alone(device, sizes, compile=True),
        **{name: partial(other, name, device, sizes) for name in OTHERS},
        "agreement": lambda: agreement(device, sizes),
        "simclr in microbatches": lambda: in_microbatches(device, sizes),
    }
    clock.found["epoch"] = f"{EPOCH} steps"
    take_turns("step", work, clock)


SECTION = Section(run, 92.0)
