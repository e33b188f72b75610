"""Training without the loop's log, display and files: images that lie on the device, and steps from a CUDA graph.

The method, its losses, its views and the optimiser are the library's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu.cifar import CLASSES, MEAN, STD, Split
from likewise.data.batch import Batch, Pixels
from likewise.encoders import EncoderSettings, build_encoder
from likewise.methods import Method, Progress, Recipe, Step
from likewise.training import captured_step
from likewise.training.batch_norm import fused_batch_norm
from likewise.training.captured_step import CapturedStep, Graph
from likewise.training.memory_layout import channels_last
from likewise.training.optimizers import build_optimizer


@dataclass(frozen=True)
class Run:
    """One run."""

    method: Method
    recipe: Recipe
    batch: int = 512
    forwarded: int = 2
    """views of an image that the trained encoder forwards"""
    encoder: str = "timm/resnet18"
    compile: bool = False
    fused_batch_norm: bool = True
    """by the library's kernels, as in its loop"""
    seed: int = 0

    @property
    def support_size(self) -> int:
        """Rows of a support batch."""
        support = self.method.support
        return 0 if support is None else support.classes * support.images_for_batch(self.batch)

    @property
    def support_until(self) -> float:
        """Share of the run after which there is no support."""
        return self.method.support.until if self.method.support is not None else 0.0

    def views_of(self, has_support: bool) -> int:
        """Views that the trained encoder forwards in a step."""
        return self.forwarded * self.batch + has_support * self.support_size

    def steps_of(self, views: float) -> int:
        """Steps that forward so many views."""
        mean = self.views_of(False) + self.support_until * self.support_size
        return round(views / mean)


class BareRun:
    """A run on the device.

    Args:
        run: what to train.
        images: what it sees.
        support: labelled images, sorted by class, as many of each; None without support.
        steps: of the whole run.
    """

    def __init__(self, run: Run, images: Split, support: Split | None, steps: int) -> None:
        self.run, self.images, self.support, self.steps = run, images, support, steps
        self.device = images.images.device
        torch.manual_seed(run.seed)
        settings = EncoderSettings(run.encoder, images.images.shape[-1], MEAN, STD, small_stem=True)
        self.nets = run.method.build(build_encoder(settings), CLASSES).to(self.device).train()
        channels_last(self.nets)
        if run.compile:
            self.nets.encoder.compile()
        self.optimizer = build_optimizer(run.recipe, self.nets, run.batch)
        self.captured = CapturedStep(self.work, self.optimizer, self.device)
        if not captured_step.has_graphs(self.device):
            self.captured.failed = f"the device is {self.device.type}"
        self.support_steps = round(run.support_until * steps) if support is not None else 0
        self.done, self.seconds, self.views_seen = 0, 0.0, 0

    @property
    def refused(self) -> str:
        """Why there is no graph."""
        return self.captured.failed

    @property
    def graph(self) -> Graph | None:
        """Of the newest form of batch."""
        *_, inputs = self.captured.inputs.values()
        return inputs.graph

    def train(self, steps: int) -> None:
        """So many steps more, of those of the run."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        start = time.monotonic()
        until = min(self.done + steps, self.steps)
        fused = self.run.fused_batch_norm
        with fused_batch_norm(self.nets, self.device) if fused else nullcontext():
            while self.done < until:
                self.epoch(until)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds += time.monotonic() - start

    def epoch(self, until: int) -> None:
        """To the end of a pass over the images, or to a step."""
        each = max(len(self.images) // self.run.batch, 1)
        number, first = divmod(self.done, each)
        end = self.support_steps if self.done < self.support_steps else self.steps
        steps = min(each - first, until - self.done, end - self.done)
        for batch in self.batches(number, first, steps):
            self.step(batch)

    def batches(self, number: int, first: int, steps: int) -> Iterator[Batch]:
        """Some batches of a pass."""
        run = self.run
        generator = torch.Generator().manual_seed(1000 * run.seed + number)
        order = torch.randperm(len(self.images), generator=generator).to(self.device)
        labelled = self.support_rows(steps, (run.seed, number, first))
        for step in range(steps):
            place = (first + step) * run.batch
            batch = batch_of(self.images, order[place : place + run.batch])
            if labelled is not None and self.support is not None:
                batch = batch._replace(support=batch_of(self.support, labelled[step]))
            yield batch

    def support_rows(self, steps: int, key: tuple[int, ...]) -> Tensor | None:
        """Positions of the support batches' images: int64 [steps, S]."""
        if self.support is None or not self.has_support:
            return None
        each = self.run.support_size // CLASSES
        members = len(self.support) // CLASSES
        generator = torch.Generator().manual_seed(hash(key) % 2**31)
        # Without replacement.
        drawn = torch.rand(steps, CLASSES, members, generator=generator).argsort(dim=2)
        # Again where a class has fewer images.
        drawn = drawn.repeat(1, 1, -(-each // members))[:, :, :each]
        place = drawn + torch.arange(CLASSES)[None, :, None] * members
        return place.flatten(1).to(self.device)

    @property
    def has_support(self) -> bool:
        """Whether the next step has one."""
        return self.done < self.support_steps

    def step(self, batch: Batch) -> None:
        """One step."""
        progress = Progress(self.done, self.steps, self.run.seed)
        each = max(len(self.images) // self.run.batch, 1)
        rate = self.run.recipe.rate_at(self.done, self.steps, each, self.run.batch)
        result = self.captured(batch, progress, rate)
        self.run.method.after_update(self.nets, result, progress)
        self.views_seen += self.run.views_of(self.has_support)
        self.done += 1

    def work(self, batch: Batch, progress: Progress) -> Step:
        """Views, forward, backward, update."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            step = self.run.method.step(self.nets, batch, progress)
        step.loss.backward()
        self.optimizer.step()
        return step._replace(loss=step.loss.detach())


def batch_of(images: Split, rows: Tensor) -> Batch:
    """Some of the images."""
    shown = images.take(rows)
    aspect = torch.ones(len(rows), device=rows.device)
    return Batch(Pixels(shown.images, aspect), shown.labels, rows)
