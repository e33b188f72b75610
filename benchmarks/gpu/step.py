"""A training step: through the loop as it is, from a CUDA graph, compiled; and what the GPU does in it.

Two views of images of CIFAR-10's shape, ResNet-18 with the small stem, batches of 512, bfloat16, channels last.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.profiler import ProfilerActivity, profile

from gpu.bare_run import BareRun, Run
from gpu.cifar import Split
from gpu.section import Clock, Result, Section, milliseconds, take_turns
from likewise.data.batch import Pixels
from likewise.data.images import InMemoryImages
from likewise.data.loader import Loader
from likewise.encoders import EncoderSettings, build_encoder
from likewise.errors import LikewiseError
from likewise.methods import METHODS, Method, Nets, Recipe
from likewise.methods.simclr import SimCLR
from likewise.training import LoopSettings, train
from likewise.training.callbacks import Callback, CallbackState
from likewise.training.captured_step import CUDAGraph
from likewise.views.policies import simclr_small

IMAGES, BATCH, SIDE, CLASSES = 20_000, 512, 32, 10
EPOCH = 50_000 // BATCH
UNCOUNTED = 12
"""steps before the clock starts: warm-up and capture"""
OTHERS = ("moco-v2", "byol", "isd", "suncet", "comatch", "supcon", "fixmatch")


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


def loader_for(method: Method, device: torch.device) -> Loader:
    """Random images; a tenth of them labelled where a support asks for it."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    labels = torch.arange(IMAGES) % CLASSES
    return Loader(
        InMemoryImages(Pixels(images, torch.ones(IMAGES))),
        labels,
        BATCH,
        seed=0,
        support=method.support,
    ).on_device(device)


def networks(method: Method) -> Nets:
    """Of a method, with the same first weights each time."""
    torch.manual_seed(0)
    settings = EncoderSettings(
        "timm/resnet18", SIDE, (0.49, 0.48, 0.45), (0.25, 0.24, 0.26), small_stem=True
    )
    return method.build(build_encoder(settings), CLASSES)


def steps_of(
    method: Method,
    device: torch.device,
    cuda_graph: CUDAGraph,
    steps: int,
    compile: bool = False,
    look: bool = False,
) -> Result:
    """Through the training loop."""
    fabric = Fabric(accelerator=device.type, devices=1, precision="bf16-mixed")
    nets, watch = networks(method).to(device), Watch(look)
    if compile:
        nets.encoder.compile()
    recipe = Recipe("sgd", learning_rate=0.06, weight_decay=5e-4)
    settings = LoopSettings(steps, cuda_graph=cuda_graph)
    start = time.perf_counter()
    train(fabric, method, nets, loader_for(method, device), recipe, settings, callbacks=[watch])
    watch.found["seconds with start"] = round(time.perf_counter() - start, 1)
    return watch.found


def graph_alone(device: torch.device, compile: bool = False) -> Result:
    """The floor of a step: its graph, replayed without views and without the loop."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        0, 256, (4 * BATCH, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator
    ).to(device)
    views = {"first view": simclr_small(), "second view": simclr_small()}
    recipe = Recipe("sgd", learning_rate=0.06, weight_decay=5e-4)
    run = Run(SimCLR(), views, recipe, batch=BATCH, compile=compile)
    bare = BareRun(
        run, Split(images, torch.zeros(len(images), dtype=torch.int64, device=device)), None, 100
    )
    start = time.perf_counter()
    bare.train(5)
    found: Result = {"seconds of warm-up and capture": round(time.perf_counter() - start, 1)}
    if bare.refused:
        return {**found, "not captured": bare.refused}
    return {**found, "ms": round(milliseconds(bare.graphs[False].replay, 15), 3)}


def agreement(device: torch.device) -> Result:
    """Greatest difference of the losses of captured and eager steps, over the loss, while rounding has not grown."""
    found: Result = {}
    for name in ("simclr", "suncet", "comatch"):
        losses = [losses_of(METHODS[name](), device, graph) for graph in ("off", "auto")]
        found[name] = [
            round(float(abs(one - two) / abs(one)), 6) for one, two in zip(*losses, strict=True)
        ]
    return found


def losses_of(method: Method, device: torch.device, cuda_graph: CUDAGraph) -> list[float]:
    """Of six steps."""
    seen: list[float] = []

    class Losses(Callback):
        def on_step(self, state: CallbackState) -> None:
            if state.newest is not None:
                seen.append(float(state.newest.loss))

    fabric = Fabric(accelerator=device.type, devices=1)
    recipe = Recipe("sgd", learning_rate=0.06)
    settings = LoopSettings(6, cuda_graph=cuda_graph)
    train(
        fabric,
        method,
        networks(method).to(device),
        loader_for(method, device),
        recipe,
        settings,
        callbacks=[Losses()],
    )
    return seen


def run(device: torch.device, clock: Clock) -> None:
    """SimCLR in every way, then the others, then what takes longest."""
    simclr = SimCLR(views=simclr_small())
    work: dict[str, Callable[[], Result]] = {
        "graph alone": lambda: graph_alone(device),
        "simclr captured": lambda: steps_of(simclr, device, "auto", 72),
        "simclr eager": lambda: steps_of(simclr, device, "off", 36),
        "graph alone, compiled": lambda: graph_alone(device, compile=True),
        "simclr captured, compiled": lambda: steps_of(simclr, device, "auto", 72, compile=True),
        **{name: lambda name=name: other(name, device) for name in OTHERS},
        "agreement": lambda: agreement(device),
        "simclr captured, profiled": lambda: steps_of(simclr, device, "auto", 32, look=True),
        "simclr compiled, profiled": lambda: steps_of(
            simclr, device, "auto", 32, compile=True, look=True
        ),
    }
    clock.found["epoch"] = f"{EPOCH} steps"
    take_turns("step", work, clock)


def other(name: str, device: torch.device) -> Result:
    """Captured milliseconds of a step, or eager ones and why."""
    method = METHODS[name]()
    try:
        return steps_of(method, device, "on", 42)
    except (LikewiseError, RuntimeError) as reason:
        return {"not captured": str(reason)[:500], "eager": steps_of(method, device, "off", 27)}


SECTION = Section(run, 100.0)
