"""A training step: through the loop as it is, from a CUDA graph, compiled; and what the GPU does in it.

Two views of images of CIFAR-10's shape, ResNet-18 with the small stem, batches of 512, bfloat16, channels last.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.profiler import ProfilerActivity, profile

from gpu.section import Clock, Result, Section, milliseconds
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
        InMemoryImages(Pixels(images, torch.ones(IMAGES))), labels, BATCH, seed=0, support=method.support
    ).on_device(device)


def networks(method: Method) -> Nets:
    """Of a method, with the same first weights each time."""
    torch.manual_seed(0)
    settings = EncoderSettings("timm/resnet18", SIDE, (0.49, 0.48, 0.45), (0.25, 0.24, 0.26), small_stem=True)
    return method.build(build_encoder(settings), CLASSES)


def steps_of(
    method: Method, device: torch.device, cuda_graph: CUDAGraph, steps: int, compile: bool = False, look: bool = False
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


def bare_network(device: torch.device) -> Result:
    """The floor: forward and backward of the encoder over 1,024 views, nothing else."""
    encoder = networks(SimCLR()).encoder.to(device).to(memory_format=torch.channels_last).train()
    pixels = torch.rand(2 * BATCH, 3, SIDE, SIDE, device=device)

    def work() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            features = encoder(pixels)
        features.float().sum().backward()

    return {"ms": round(milliseconds(work), 2)}


def run(device: torch.device, clock: Clock) -> None:
    """SimCLR in every way, then the others, then what has to be compiled."""
    simclr = SimCLR(views=simclr_small())
    found = clock.found
    found["epoch"] = f"{EPOCH} steps"
    found["encoder alone"] = bare_network(device)
    found["simclr eager"] = steps_of(simclr, device, "off", 42)
    clock.check()
    found["simclr captured"] = steps_of(simclr, device, "on", 72)
    found["simclr captured, profiled"] = steps_of(simclr, device, "on", 32, look=True)
    clock.check()
    torch.backends.cudnn.benchmark = True
    found["simclr captured, cudnn.benchmark"] = steps_of(simclr, device, "on", 72)
    torch.backends.cudnn.benchmark = False
    for name in OTHERS:
        clock.check()
        found[name] = other(name, device)
    clock.check()
    found["simclr captured, compiled"] = steps_of(simclr, device, "on", 72, compile=True)
    clock.check()
    found["simclr captured, compiled, profiled"] = steps_of(simclr, device, "on", 32, compile=True, look=True)


def other(name: str, device: torch.device) -> Result:
    """Eager and captured milliseconds of a step, or why it cannot be captured."""
    method = METHODS[name]()
    if hasattr(method, "queue"):
        method = replace(method, queue=4096)
    try:
        found = steps_of(method, device, "on", 42)
    except LikewiseError as reason:
        found = {"not captured": str(reason)}
    return {**found, "eager ms a step": steps_of(method, device, "off", 27)["ms a step"]}


SECTION = Section(run, 170.0)
