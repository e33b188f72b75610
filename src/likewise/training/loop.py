"""The only training loop: batch, forward, backward, optimiser step, after_update; it resumes where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import Tensor, nn
from torch.optim import Optimizer

from likewise.collectives import mean_over_ranks, rank, synchronise_batch_norm, world_size
from likewise.data.batch import Batch
from likewise.data.loader import Loader
from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.methods import Method, Nets, Progress, Recipe, Step
from likewise.randomness import seed_networks
from likewise.run_folder import RunFolder
from likewise.training.bottleneck import Bottleneck, StepTimes, remedy_for
from likewise.training.cached_gradients import Learner, count_microbatches, gradients_of
from likewise.training.checkpoint import load_checkpoint, save_checkpoint
from likewise.training.health import Health
from likewise.training.interruption import Interruption
from likewise.training.logs import MetricLog, TrainingState
from likewise.training.manual_backward import ManualBackward
from likewise.training.memory_layout import channels_last
from likewise.training.optimizers import build_optimizer
from likewise.training.precision import precision_of
from likewise.training.progress_display import ProgressDisplay
from likewise.training.screen import Screen

Evaluate = Callable[[Nets], Mapping[str, float]]
"""Online scores of the networks as they are, for the log and the display; must leave them as it found them."""


class Interrupted(LikewiseError):
    """Stopped by Ctrl-C or a scheduler, with everything saved."""

    exit_code = 130


@dataclass(frozen=True)
class LoopSettings:
    """How long to train and how often to look up."""

    steps: int
    """optimiser steps of the whole run"""
    seed: int = 0
    """of every draw and of the first weights"""
    log_every: int = 10
    """steps between lines of the log"""
    eval_every: int = 0
    """steps between online scores; 0: never"""
    save_every: int = 0
    """steps between checkpoints; 0: only at the end or when interrupted"""
    microbatch: int | None = None
    """images that a device embeds at a time; None: all that it has in a step"""


def train(
    fabric: Fabric,
    method: Method,
    nets: Nets,
    loader: Loader,
    recipe: Recipe,
    plan: LoopSettings,
    run: RunFolder | None = None,
    observe: Evaluate | None = None,
    screen: Screen | None = None,
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
        screen: where progress is shown; None shows nothing.

    Raises:
        TrainingDiverged: the loss became NaN or infinite.
        Interrupted: a signal asked for a stop; a checkpoint has been written.
    """
    if world_size() > 1:
        synchronise_batch_norm(nets)
    channels_last(nets)
    nets.train()
    training = _Training(
        fabric, method, nets, loader, recipe, plan, run, observe, screen or Screen(Console(quiet=True))
    )
    training.run_to_the_end()
    nets.eval()
    return training.state


class _Training:
    """What the steps of one call of `train` share."""

    def __init__(
        self,
        fabric: Fabric,
        method: Method,
        nets: Nets,
        loader: Loader,
        recipe: Recipe,
        plan: LoopSettings,
        run: RunFolder | None,
        observe: Evaluate | None,
        screen: Screen,
    ) -> None:
        self.fabric, self.method, self.nets, self.plan = fabric, method, nets, plan
        self.run, self.observe, self.screen = run, observe, screen
        self.loader = loader.with_support(until_step=method.support_steps(plan.steps)) if loader.support else loader
        self.recipe, self.counting = recipe, False
        pieces = count_microbatches(plan.microbatch, loader.batch_size // world_size(), nets)
        wrapped = fabric.setup(Learner(method, nets), build_optimizer(recipe, nets, loader.batch_size))
        self.learner: nn.Module = wrapped[0]
        self.optimizer: Optimizer = wrapped[1]
        self.gradients = gradients_of(fabric, self.learner, pieces)
        self.manual_backward = ManualBackward(fabric, nets, pieces)
        self.held = {"learner": self.learner, "optimizer": self.optimizer}
        self.state = TrainingState()
        if run is not None and run.checkpoint.exists():
            self.state = TrainingState(**load_checkpoint(fabric, run.checkpoint, {**self.held, **asdict(self.state)}))
        self.saved = self.state.step
        self.health = Health(precision_of(fabric))
        self.times, self.bottleneck = StepTimes(fabric.device), Bottleneck(remedy_for(loader))
        self.log = MetricLog(fabric, run, self.state.step)
        self.display = ProgressDisplay(screen, type(method).title, self.state.step, plan.steps)

    def run_to_the_end(self) -> None:
        """Step after step, until all are done or a signal asks for a stop."""
        counted = counted_images(self.nets.encoder, self._count)
        try:
            with Interruption(self.fabric.device) as interruption, self.display, counted:
                since = time.perf_counter()  # before the batch is fetched: waiting for data is training time
                self.times.begin("data")
                for batch in self.loader.batches(self.state.step, self.plan.steps):
                    step, rate = self._update(batch.to(self.fabric.device))
                    self.times.end()
                    self.state.seconds += time.perf_counter() - since
                    self._tell(step, rate)
                    self._look()
                    stop = interruption.asked()
                    self._save(step, rate, stop)
                    if stop and self.state.step < self.plan.steps:
                        raise Interrupted(f"Stopped at step {self.state.step:,} of {self.plan.steps:,}.")
                    since = time.perf_counter()
                    self.times.begin("data")
        finally:
            self.log.close()

    def _update(self, batch: Batch) -> tuple[Step, float]:
        """One step: the method's own updates, forward, backward, the optimiser, and what gradients do not move."""
        at, plan, loader = self.state.step, self.plan, self.loader
        progress = Progress(at, plan.steps, plan.seed, rank(), world_size(), loader.steps_per_epoch)
        rate = self.recipe.rate_at(at, plan.steps, loader.steps_per_epoch, loader.batch_size)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        seed_networks(plan.seed, at, progress.rank, "dropout")

        self.times.begin("forward")
        manual = self.method.before_step(self.nets, batch, progress, self.manual_backward)
        self.counting = True
        step = self.gradients.forward(batch, progress)
        if self.fabric.device.type == "cpu":  # elsewhere reading a loss would stall the device; `_tell` does it
            for loss in (*(each.loss for each in manual.values()), step.loss.detach()):
                self.health.check_loss(float(loss), at, rate, self.saved)

        self.times.begin("backward")
        self.optimizer.zero_grad(set_to_none=True)
        self.gradients.backward(step)
        self.counting = False
        self.optimizer.step()
        self.method.after_update(self.nets, step, progress)
        self.state.step += 1
        return with_metrics_of(step, manual), rate

    def _tell(self, step: Step, rate: float) -> None:
        """Every so often: loss and metrics to the log and the display, and a look at their health."""
        state = self.state
        if state.step % self.plan.log_every and state.step != self.plan.steps:
            self.display.step(state.step, state.images, state.seconds, None)
            return
        loss = float(mean_over_ranks(step.loss.detach()))
        self.health.check_loss(loss, state.step, rate, self.saved)
        metrics = {name: float(mean_over_ranks(value)) for name, value in step.metrics.items()}
        seconds = self.times.take()
        parts = {f"seconds_{part}": round(value, 6) for part, value in seconds._asdict().items()} if seconds else {}
        self.log.write({"loss": loss, "lr": rate, **metrics, **parts}, state)
        self.display.bottleneck(self.bottleneck.name(seconds) if seconds else "")
        self.display.step(state.step, state.images, state.seconds, loss)
        self._warn(self.health.check_feature_std(metrics.get("feature_std", 1.0), state.step))
        self._warn(self.bottleneck.check(seconds, state.step) if seconds else None)

    def _warn(self, warning: str | None) -> None:
        """To the log and the screen, if there is something to warn of."""
        if warning:
            self.log.write({"warning": warning}, self.state)
            self.screen.say(f"[yellow]{warning}[/yellow]")

    def _look(self) -> None:
        """Online scores, when they are due; the networks are in training mode again afterwards."""
        if self.observe is None or not self.plan.eval_every:
            return
        if _due(self.state.step, self.plan.eval_every, self.plan.steps):
            self.nets.eval()
            scores = self.observe(self.nets)
            self.nets.train()
            self.log.write(scores, self.state)
            self.display.scores(scores)

    def _save(self, step: Step, rate: float, now: bool) -> None:
        """A checkpoint, when it is due or asked for; never of networks that have diverged."""
        if self.run is not None and (now or _due(self.state.step, self.plan.save_every, self.plan.steps)):
            self.health.check_loss(float(step.loss.detach()), self.state.step, rate, self.saved)
            save_checkpoint(self.fabric, self.run.checkpoint, {**self.held, **asdict(self.state)})
            self.saved = self.state.step

    def _count(self, images: int) -> None:
        """Count the images that the main loss is taken of: none in a method's own updates, nor to fill a cache."""
        if torch.is_grad_enabled() and self.counting:
            self.state.images += images * world_size()


@contextmanager
def counted_images(encoder: Encoder, count: Callable[[int], None]) -> Iterator[None]:
    """Call ``count`` with the images of each pass through an encoder; every pass begins by normalising them."""
    normalise = encoder.normalise

    @torch.compiler.disable  # a compiled encoder would be compiled anew for each value of the count
    def normalise_and_count(pixels: Tensor) -> Tensor:
        count(len(pixels))
        return normalise(pixels)

    encoder.normalise = normalise_and_count  # type: ignore[method-assign]
    try:
        yield
    finally:
        del encoder.normalise  # from here on the class's own again


def with_metrics_of(step: Step, manual: Mapping[str, Step]) -> Step:
    """A step whose metrics hold those of the method's own updates, and their losses as ``<name>_loss``."""
    metrics: dict[str, Tensor] = {}
    for name, each in manual.items():
        metrics[f"{name}_loss"] = each.loss
        metrics |= each.metrics
    return step._replace(metrics={**metrics, **step.metrics})


def _due(step: int, every: int, steps: int) -> bool:
    """Whether something that happens every so many steps, and at the end, happens now."""
    return step == steps or (every > 0 and step % every == 0)
