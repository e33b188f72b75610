"""The only training loop: batch, step, backward, update, after_update; it resumes where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import Tensor, nn
from torch.optim import Optimizer

from likewise.collectives import mean_over_ranks, rank, synchronise_batch_norm, world_size
from likewise.data.batch import Batch
from likewise.data.loader import Loader
from likewise.errors import LikewiseError
from likewise.methods import Method, Nets, Progress, Recipe, Step
from likewise.randomness import seed_networks
from likewise.run_folder import RunFolder
from likewise.training.checkpoint import load_checkpoint, save_checkpoint
from likewise.training.health import Health
from likewise.training.interruption import Interruption
from likewise.training.logs import MetricLog
from likewise.training.optimizers import build_optimizer, rate_at
from likewise.training.progress_display import ProgressDisplay

Observe = Callable[[Nets], Mapping[str, float]]
"""Online scores of the networks as they are, for the log and the display; must leave them as it found them."""


class Interrupted(LikewiseError):
    """Stopped by Ctrl-C or a scheduler, with everything saved."""

    exit_code = 130


@dataclass(frozen=True)
class Plan:
    """How long to train and how often to look up."""

    steps: int
    """optimiser steps of the whole run"""
    seed: int = 0
    """of every draw and of the first weights"""
    log_every: int = 10
    """steps between lines of the log"""
    observe_every: int = 0
    """steps between online scores; 0: never"""
    save_every: int = 0
    """steps between checkpoints; 0: only at the end or when interrupted"""


@dataclass
class TrainingState:
    """Where a run stands."""

    step: int = 0
    """steps done"""
    images: int = 0
    """images that the trained encoder has forwarded, over all ranks: views and support counted, teachers not"""
    seconds: float = 0.0
    """time spent in steps; looking at scores is left out"""


class Learner(nn.Module):
    """A method bound to its networks, so that one forward is one loss: what data parallelism and autocast wrap."""

    def __init__(self, method: Method, nets: Nets) -> None:
        super().__init__()
        self.method, self.nets = method, nets

    def forward(self, batch: Batch, progress: Progress) -> Step:
        """One step of the method."""
        return self.method.step(self.nets, batch, progress)


def train(
    fabric: Fabric,
    method: Method,
    nets: Nets,
    loader: Loader,
    recipe: Recipe,
    plan: Plan,
    run: RunFolder | None = None,
    observe: Observe | None = None,
    console: Console | None = None,
) -> TrainingState:
    """Train ``nets`` in place, from the run's checkpoint if it has one.

    Args:
        fabric: devices and precision, launched.
        method: the rule.
        nets: what it built.
        loader: batches by step, this rank's rows.
        recipe: optimiser and schedule.
        plan: how long.
        run: where checkpoints and metrics go; None keeps nothing on disk.
        observe: online scores.
        console: where progress is shown; None shows nothing.

    Raises:
        TrainingDiverged: the loss became NaN or infinite.
        Interrupted: a signal asked for a stop; a checkpoint has been written.
    """
    if world_size() > 1:
        synchronise_batch_norm(nets)
    nets.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolutions are faster so, CPU and GPU
    learner, optimizer = fabric.setup(Learner(method, nets), build_optimizer(recipe, nets, loader.batch_size))
    state, saved = TrainingState(), 0
    held = {"learner": learner, "optimizer": optimizer}
    if run is not None and run.checkpoint.exists():
        state = TrainingState(**load_checkpoint(fabric, run.checkpoint, {**held, **asdict(state)}))
        saved = state.step
    log = _Log(fabric, run, state)
    health, precision = Health(), fabric._precision.precision
    loader = loader.with_support(until_step=method.support_steps(plan.steps)) if loader.support else loader
    nets.train()
    counter = nets.encoder.register_forward_pre_hook(lambda _, inputs: log.count(inputs[0]))
    title = type(method).title
    display = ProgressDisplay(console or Console(quiet=True), title, state.step, plan.steps, fabric.is_global_zero)
    try:
        with Interruption(fabric.device) as interruption, display:
            for batch in loader.batches(state.step, plan.steps):
                started = time.perf_counter()
                progress = Progress(state.step, plan.steps, plan.seed, rank(), world_size())
                rate = rate_at(recipe, state.step, plan.steps, loader.steps_per_epoch, loader.batch_size)
                looking = (state.step + 1) % plan.log_every == 0 or state.step + 1 == plan.steps

                step = _update(fabric, learner, optimizer, batch.to(fabric.device), progress, rate)
                loss = float(step.loss.detach()) if looking or fabric.device.type == "cpu" else None
                if loss is not None:
                    health.check_loss(loss, state.step, rate, precision, saved)
                method.after_update(nets, step, progress)

                state.step += 1
                state.images = log.images
                state.seconds += time.perf_counter() - started
                display.step(state.step, state.images, state.seconds, loss)
                if looking and loss is not None:
                    metrics = {name: float(mean_over_ranks(value)) for name, value in step.metrics.items()}
                    log.write({"loss": loss, "lr": rate, **metrics}, state)
                    warning = health.check_spread(metrics.get("spread", 1.0), state.step)
                    if warning:
                        log.write({"warning": warning}, state)
                        display.say(f"[yellow]{warning}[/yellow]")
                if observe and plan.observe_every and _due(state.step, plan.observe_every, plan.steps):
                    scores = _observed(observe, nets)
                    log.write(scores, state)
                    display.scores(scores)
                stop = interruption.asked()
                if run is not None and (stop or _due(state.step, plan.save_every, plan.steps)):
                    health.check_loss(float(step.loss.detach()), state.step, rate, precision, saved)
                    save_checkpoint(fabric, run.checkpoint, {**held, **asdict(state)})
                    saved = state.step
                if stop and state.step < plan.steps:
                    raise Interrupted(f"Stopped at step {state.step:,} of {plan.steps:,}.")
    finally:
        counter.remove()
        log.close()
    nets.eval()
    return state


def _update(fabric: Fabric, learner: Any, optimizer: Optimizer, batch: Batch, progress: Progress, rate: float) -> Step:
    """One forward, one backward, one step of the optimiser. A loss that is not finite never reaches the weights."""
    seed_networks(progress.seed, progress.step, progress.rank, "dropout")
    for group in optimizer.param_groups:
        group["lr"] = rate
    step: Step = learner(batch, progress)
    if fabric.device.type == "cpu" and not bool(step.loss.isfinite()):
        return step
    optimizer.zero_grad(set_to_none=True)
    fabric.backward(step.loss)
    optimizer.step()
    return step


def _due(step: int, every: int, steps: int) -> bool:
    """Whether something that happens every so many steps, and at the end, happens now."""
    return step == steps or (every > 0 and step % every == 0)


def _observed(observe: Observe, nets: Nets) -> Mapping[str, float]:
    """Online scores, with the networks back in training mode afterwards."""
    nets.eval()
    try:
        return observe(nets)
    finally:
        nets.train()


class _Log:
    """Lines for the disk and for the loggers, written by the first rank; and the count of images."""

    def __init__(self, fabric: Fabric, run: RunFolder | None, state: TrainingState) -> None:
        self.fabric, self.images = fabric, state.images
        self._file = MetricLog(run, state.step) if run is not None and fabric.is_global_zero else None

    def count(self, pixels: Tensor) -> None:
        """Count the images that go into the trained encoder while it trains."""
        if torch.is_grad_enabled():
            self.images += len(pixels) * world_size()

    def write(self, values: Mapping[str, float | str], state: TrainingState) -> None:
        """One line, with where the run stands."""
        if self._file is None:
            return
        self._file.write({"step": state.step, "images": state.images, "seconds": round(state.seconds, 3), **values})
        numbers = {name: value for name, value in values.items() if not isinstance(value, str)}
        if numbers:
            self.fabric.log_dict(numbers, step=state.step)

    def close(self) -> None:
        """Close the file and flush the loggers."""
        if self._file is not None:
            self._file.close()
        for logger in self.fabric.loggers:
            with suppress(AttributeError):
                logger.finalize("success")
