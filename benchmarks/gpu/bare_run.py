"""Training without the loop's log, display and files: views of a whole epoch at once, then steps from a CUDA graph.

The method, its losses, its views and the optimiser are the library's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from gpu.cifar import CLASSES, MEAN, STD, Split
from likewise.data.batch import Batch, Pixels
from likewise.encoders import EncoderSettings, build_encoder
from likewise.methods import Method, Progress, Recipe, Step
from likewise.methods.isd import ISD
from likewise.methods.moco import MoCoV2
from likewise.randomness import BatchRNG
from likewise.training import captured_step
from likewise.training.captured_step import FixedProgress, apart
from likewise.training.memory_layout import channels_last
from likewise.training.optimizers import build_optimizer
from likewise.views.prepared import PreparedViews
from likewise.views.view_policy import ViewPolicy

WARM_UP = 3
"""steps before the capture"""


@dataclass(frozen=True)
class Run:
    """One run."""

    method: Method
    views: Mapping[str, ViewPolicy]
    """of the images, by the names of the method's random streams"""
    recipe: Recipe
    batch: int = 512
    support_views: ViewPolicy | None = None
    """where the method has a support"""
    encoder: str = "timm/resnet18"
    compile: bool = False
    seed: int = 0

    @property
    def support_size(self) -> int:
        """Rows of a support batch."""
        support = self.method.support
        if support is None or self.support_views is None:
            return 0
        return support.classes * support.images_for_batch(self.batch)

    @property
    def support_until(self) -> float:
        """Share of the run after which there is no support."""
        return self.method.support.until if self.method.support is not None else 0.0

    def views_of(self, has_support: bool) -> int:
        """Views that the trained encoder forwards in a step; a teacher forwards the second view of MoCo and ISD."""
        forwarded = 1 if isinstance(self.method, MoCoV2 | ISD) else len(self.views)
        return forwarded * self.batch + has_support * self.support_size

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
        self.rate = torch.zeros((), device=self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.buffers = self.static_views(run.batch, run.views)
        self.support_buffers: dict[str, Tensor] = {}
        if support is not None:
            self.support_buffers = self.static_views(
                run.support_size, {"support": cast(ViewPolicy, run.support_views)}
            )
        self.support_steps = round(run.support_until * steps) if support is not None else 0
        self.batch = self.static_batch()
        self.done, self.seconds, self.views_seen = 0, 0.0, 0
        self.graphs: dict[bool, Any] = {}
        self.warm: dict[bool, int] = {True: 0, False: 0}
        self.refused = ""
        """why there is no graph"""

    def static_views(self, rows: int, names: Mapping[str, ViewPolicy]) -> dict[str, Tensor]:
        """Memory that the graph reads."""
        side = self.images.images.shape[-1]
        return {name: torch.zeros(rows, 3, side, side, device=self.device) for name in names}

    def static_batch(self) -> Batch:
        """The batch that the graph reads; its pixels are never looked at, for the views are there."""
        batch = self.rows_of(self.run.batch, self.buffers)
        if self.support is None:
            return batch
        return batch._replace(support=self.rows_of(self.run.support_size, self.support_buffers))

    def rows_of(self, rows: int, buffers: Mapping[str, Tensor]) -> Batch:
        """Rows with their views."""
        unseen = self.images.images.new_zeros(rows, 3, 1, 1)
        pixels = Pixels(unseen, torch.ones(rows, device=self.device), None, PreparedViews(buffers))
        numbers = torch.zeros(rows, dtype=torch.int64, device=self.device)
        return Batch(pixels, numbers, numbers)

    def train(self, steps: int) -> None:
        """So many steps more, of those of the run."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        start = time.monotonic()
        until = min(self.done + steps, self.steps)
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
        for _ in self.batches(number, first, steps):
            self.step()

    def batches(self, number: int, first: int, steps: int) -> Iterator[None]:
        """Write one batch after another into the memory that the graph reads."""
        run, rows = self.run, self.run.batch * steps
        generator = torch.Generator().manual_seed(1000 * run.seed + number)
        order = torch.randperm(len(self.images), generator=generator)[
            first * run.batch : first * run.batch + rows
        ]
        shown = self.images.take(order.to(self.device))
        key = (run.seed, number, first)
        views = {
            name: made(policy, shown.images, (*key, name)) for name, policy in run.views.items()
        }
        of_support, support_labels = self.support_rows(steps, key)
        for step in range(steps):
            here = slice(step * run.batch, (step + 1) * run.batch)
            for name, view in views.items():
                self.buffers[name].copy_(view[here])
            self.batch.labels.copy_(shown.labels[here])
            if of_support is not None and self.batch.support is not None:
                here = slice(step * run.support_size, (step + 1) * run.support_size)
                self.support_buffers["support"].copy_(of_support[here])
                self.batch.support.labels.copy_(support_labels[here])
            yield

    def support_rows(self, steps: int, key: tuple[int, ...]) -> tuple[Tensor | None, Tensor]:
        """Views [steps x S, 3, side, side] and labels of the support batches."""
        if self.support is None or self.run.support_views is None or not self.has_support:
            return None, self.images.labels
        each = self.run.support_size // CLASSES
        members = len(self.support) // CLASSES
        generator = torch.Generator().manual_seed(hash(key) % 2**31)
        # Without replacement.
        drawn = torch.rand(steps, CLASSES, members, generator=generator).argsort(dim=2)
        # Again where a class has fewer images.
        drawn = drawn.repeat(1, 1, -(-each // members))[:, :, :each]
        place = (drawn + torch.arange(CLASSES)[None, :, None] * members).flatten().to(self.device)
        rows = self.support.take(place)
        return made(self.run.support_views, rows.images, (*key, "support")), rows.labels

    @property
    def has_support(self) -> bool:
        """Whether the next step has one."""
        return self.done < self.support_steps

    def step(self) -> None:
        """One step by what the memory holds now."""
        progress = Progress(self.done, self.steps, self.run.seed)
        each = max(len(self.images) // self.run.batch, 1)
        self.rate.fill_(self.run.recipe.rate_at(self.done, self.steps, each, self.run.batch))
        result = self.result(progress)
        self.run.method.after_update(self.nets, result, progress)
        self.views_seen += self.run.views_of(self.has_support)
        self.done += 1

    def result(self, progress: Progress) -> Step:
        """From the graph, once there is one."""
        fixed, form = cast(Progress, FixedProgress(progress, self.device)), self.has_support
        batch = self.batch if form else self.batch._replace(support=None)
        if self.warm[form] < WARM_UP or not captured_step.has_graphs(self.device):
            self.warm[form] += 1
            return apart(lambda: self.work(batch, fixed), self.device)
        if form not in self.graphs and not self.refused:
            try:
                self.graphs[form] = captured_step.captured(lambda: self.work(batch, fixed))
            except RuntimeError as error:
                self.refused = str(error)[:300]
        if self.refused:
            return apart(lambda: self.work(batch, fixed), self.device)
        self.graphs[form].replay()
        return self.graphs[form].result

    def work(self, batch: Batch, progress: Progress) -> Step:
        """Forward, backward, update."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            step = self.run.method.step(self.nets, batch, progress)
        step.loss.backward()
        self.optimizer.step()
        return step._replace(loss=step.loss.detach())


@torch.no_grad()
def made(policy: ViewPolicy, images: Tensor, key: tuple[int | str, ...]) -> Tensor:
    """A view of each image: float [N, 3, side, side] in [0, 1]."""
    aspect = torch.ones(len(images))
    if images.is_cuda:
        aspect = aspect.to(images.device)
    return policy(Pixels(images, aspect), BatchRNG(key, len(images))).pixels
