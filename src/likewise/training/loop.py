"""The only training loop: batch, forward, backward, optimiser step, after_update; it resumes where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.markup import escape
from torch import Tensor, nn
from torch.optim import Optimizer

from likewise.collectives import (
    any_over_ranks,
    mean_over_ranks,
    on_first_rank,
    rank,
    synchronise_batch_norm,
    world_size,
)
from likewise.data.batch import Batch
from likewise.data.loader import Loader
from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.methods import Method, Nets, Progress, Recipe, Step
from likewise.randomness import seed_networks
from likewise.run_folder import RunFolder
from likewise.training.bottleneck import Bottleneck, StepTimes, remedy_for
from likewise.training.cached_gradients import Learner, gradients_of
from likewise.training.callbacks import Callback, CallbackState
from likewise.training.captured_step import CapturedStep, CUDAGraph, why_not_captured, why_not_this_optimizer
from likewise.training.checkpoint import Start, find_start, load_checkpoint, save_checkpoint
from likewise.training.collapse import Action
from likewise.training.collapse_guard import CollapseGuard
from likewise.training.health import Health
from likewise.training.host_threads import one_thread_for_gpu
from likewise.training.interruption import Interruption
from likewise.training.logs import MetricLog, TrainingState
from likewise.training.manual_backward import ManualBackward
from likewise.training.memory_layout import channels_last
from likewise.training.microbatch import count_microbatches, out_of_memory_error
from likewise.training.model_ema import ModelEMA
from likewise.training.optimizers import build_optimizer
from likewise.training.precision import precision_of
from likewise.training.progress_display import ProgressDisplay
from likewise.training.screen import Screen
from likewise.training.unread_images import UnreadImages
from likewise.training.worker_errors import with_plain_errors

Evaluate = Callable[[Nets], Mapping[str, float]]
"""Online scores of the networks as they are, for the log and the display; must leave the networks unchanged."""


class Interrupted(LikewiseError):
    """Stopped by Ctrl-C or a scheduler, with everything saved."""

    exit_code = 130


@dataclass(frozen=True)
class LoopSettings:
    """How long to train, how gradients become steps, and how often to report."""

    steps: int
    """optimiser steps of the whole run"""
    seed: int = 0
    """seed of every random number and of the first weights"""
    log_every: int = 10
    """steps between lines of the log"""
    eval_every: int = 0
    """steps between online scores; 0: never"""
    save_every: int = 0
    """steps between checkpoints; 0: only at the end or when interrupted"""
    microbatch: int | None = None
    """images that a device embeds at a time; None: all that it has in a step"""
    clip_grad_norm: float | None = None
    """largest norm of the gradient of all parameters; None: not clipped"""
    accumulate_grad_batches: int = 1
    """batches whose gradients are averaged for one optimiser step"""
    model_ema_decay: float | None = None
    """decay of the moving average of the weights that is evaluated; None: the newest weights are"""
    max_bad: float = 1.0
    """share of the images that may be unreadable before training stops"""
    on_collapse: Action = "warn"
    """what happens where the embeddings, the loss or the labels collapse"""
    cuda_graph: CUDAGraph = "auto"
    """whether steps are captured in a CUDA graph; auto: on a GPU, where the method allows it"""


def train(
    fabric: Fabric,
    method: Method,
    nets: Nets,
    loader: Loader,
    recipe: Recipe,
    settings: LoopSettings,
    run: RunFolder | None = None,
    evaluate: Evaluate | None = None,
    screen: Screen | None = None,
    callbacks: Sequence[Callback] = (),
) -> TrainingState:
    """Train ``nets``, from the run's checkpoint if it has one.

    Args:
        fabric: devices and precision, launched.
        method: the learning rule.
        nets: what it built. With ``model_ema_decay`` they hold the averaged weights afterwards.
        loader: batches by step, this process's rows.
        recipe: optimiser and schedule.
        settings: how long, and how.
        run: where checkpoints and metrics go; None writes nothing.
        evaluate: online scores.
        screen: prints progress; None prints nothing.
        callbacks: called in this order.

    Raises:
        TrainingDiverged: the loss became NaN or infinite.
        Interrupted: a signal requested a stop; a checkpoint has been written.
    """
    if world_size() > 1:
        synchronise_batch_norm(nets)
    channels_last(nets)
    nets.train()
    screen = screen or Screen(Console(quiet=True))
    loop = _Loop(fabric, method, nets, loader, recipe, settings, run, evaluate, screen, callbacks)
    loop.run()
    nets.eval()
    return loop.state


class _Loop:
    """One call of `train`: its objects, and what happens in a step."""

    def __init__(
        self,
        fabric: Fabric,
        method: Method,
        nets: Nets,
        loader: Loader,
        recipe: Recipe,
        settings: LoopSettings,
        folder: RunFolder | None,
        evaluate: Evaluate | None,
        screen: Screen,
        callbacks: Sequence[Callback],
    ) -> None:
        self.fabric, self.method, self.nets = fabric, method, nets
        self.recipe, self.settings = recipe, settings
        self.folder, self.evaluate, self.screen, self.callbacks = folder, evaluate, screen, callbacks

        self.accumulate = settings.accumulate_grad_batches
        self.batches = settings.steps * self.accumulate
        if loader.support:
            loader = loader.with_support(until_step=round(loader.support.until * self.batches))
        self.loader = loader.on_device(fabric.device)
        self.step_batch_size = loader.batch_size * self.accumulate

        microbatches = count_microbatches(settings.microbatch, loader.batch_size // world_size(), nets)
        optimizer = build_optimizer(recipe, nets, self.step_batch_size, nets.learning_rate_scales)
        wrapped = fabric.setup(Learner(method, nets), optimizer)
        self.learner: nn.Module = wrapped[0]
        self.optimizer: Optimizer = wrapped[1]
        self.gradients = gradients_of(fabric, self.learner, microbatches)
        self.manual_backward = ManualBackward(fabric, nets, microbatches)
        self.ema = None if settings.model_ema_decay is None else ModelEMA(nets, settings.model_ema_decay)

        self.collapse = CollapseGuard(
            settings.on_collapse, method, nets, loader.batch_size, settings.save_every, folder, screen,
            fabric.is_global_zero,
        )  # fmt: skip
        self.state = TrainingState()
        start = on_first_rank(lambda: find_start(folder)) if folder is not None else Start(None, "")
        if start.checkpoint is not None:
            self.state = TrainingState(**load_checkpoint(start.checkpoint, self.checkpoint()))
        if start.message:
            screen.say(f"[yellow]{escape(start.message)}[/yellow]")
        self.saved_step = self.state.step
        self.state.stopped_early, self.stop_reason = False, ""
        self.scores: Mapping[str, float] = {}
        self.counting = False
        self.rate = 0.0
        self.own_losses: list[str] = []
        self.captured: CapturedStep | None = None
        self.may_capture = settings.cuda_graph != "off"
        self.images_of_step: dict[bool, int] = {}

        self.health = Health(precision_of(fabric))
        self.unread = UnreadImages(loader.images, settings.max_bad, folder, fabric.device)
        self.times, self.bottleneck = StepTimes(fabric.device), Bottleneck(remedy_for(loader))
        self.collapse.start(self.state.step)
        fabric.barrier()  # all ranks have read the log, which the first one now writes anew
        self.log = MetricLog(fabric, folder, self.state.step)
        self.display = ProgressDisplay(screen, method.card.title, self.state.step, settings.steps)

    def run(self) -> None:
        """Step after step, until all are done, a callback stops them, or a signal asks for a stop."""
        try:
            counted = counted_images(self.nets.encoder, self.count_images)
            with Interruption(self.fabric.device) as interruption, self.display, counted:
                with one_thread_for_gpu(self.fabric.device):
                    self.train_steps(interruption)
            if self.ema is not None:
                self.ema.swap()  # from here on the networks hold the average
            self.collapse.end(self.write_line)
            for callback in self.callbacks:
                callback.on_end(self.callback_state())
        finally:
            self.log.close()

    def train_steps(self, interruption: Interruption) -> None:
        """Fetch batches and take the steps that are left."""
        for callback in self.callbacks:
            callback.on_start(self.callback_state())
        first_step = self.state.step
        self.forget_peak_memory()
        group: list[Step] = []
        since = time.perf_counter()  # before the batch is fetched: waiting for data is training time
        self.times.begin("data")
        for batch in with_plain_errors(self.loader.batches(first_step * self.accumulate, self.batches)):
            batch = batch.to(self.fabric.device)
            if self.captures_steps(batch):
                step = self.take_captured_step(batch)
            else:
                group.append(self.compute_gradients(batch, len(group)))
                if len(group) < self.accumulate:
                    self.times.begin("data")
                    continue
                step = self.update_weights(group)
                group = []
            self.times.end()
            self.state.seconds += time.perf_counter() - since
            if self.state.step == first_step + 1:
                self.report_peak_memory()
            self.report(step, batch)
            for callback in self.callbacks:
                callback.on_step(self.callback_state(step))
            self.take_scores(step)
            self.save_and_stop(step, interruption)
            if self.state.stopped_early:
                return
            since = time.perf_counter()
            self.times.begin("data")

    def compute_gradients(self, batch: Batch, number: int) -> Step:
        """One batch: the method's own updates, forward and backward. ``number`` counts the batches of this step."""
        progress = self.progress(number)
        seed_networks(progress.seed, progress.step, progress.rank, "dropout")
        if number == 0:
            self.rate = self.learning_rate()
            self.optimizer.zero_grad(set_to_none=True)
        self.times.begin("forward")
        try:
            own_steps = self.method.before_step(self.nets, batch, progress, self.manual_backward)
            with self.gradients_in_order(number):
                step = self.gradients.forward(batch, progress)
                self.own_losses = [f"{name}_loss" for name in own_steps]
                step = with_metrics_of(step, own_steps)
                if self.fabric.device.type == "cpu":  # elsewhere reading a loss would stall the device
                    self.check_losses(float(step.loss.detach()), step.metrics)
                self.times.begin("backward")
                self.gradients.backward(step)
        except torch.cuda.OutOfMemoryError:
            raise out_of_memory_error(self.fabric.device) from None
        return step._replace(loss=step.loss.detach())

    def update_weights(self, group: Sequence[Step]) -> Step:
        """The optimiser's step by the mean gradient of a group of batches, and what gradients do not move."""
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = self.rate * parameters.get("lr_scale", 1.0)
        step = mean_step(group)
        if self.accumulate > 1:
            divide_gradients(self.learner, self.accumulate)
        if self.settings.clip_grad_norm is not None:
            norm = self.fabric.clip_gradients(
                self.learner, self.optimizer, max_norm=self.settings.clip_grad_norm, error_if_nonfinite=False
            )
            step = step._replace(metrics={**step.metrics, "grad_norm": norm})
        self.optimizer.step()
        self.update_memories(step, self.progress(len(group) - 1))
        return step

    def update_memories(self, step: Step, progress: Progress) -> None:
        """What gradients do not move: teachers, queues, the average of the weights."""
        self.method.after_update(self.nets, step, progress)
        if self.ema is not None:
            self.ema.update()
        self.state.step += 1

    def captures_steps(self, batch: Batch) -> bool:
        """Whether steps come from a CUDA graph; decided at the first step; if not, the screen gives the reason.

        Raises:
            LikewiseError: they were to, and cannot.
        """
        if not self.may_capture or self.captured is not None:
            return self.captured is not None
        self.may_capture = False
        reason = why_not_captured(
            self.fabric, self.gradients, self.accumulate, self.method, self.nets, batch, self.progress(0)
        ) or why_not_this_optimizer(self.optimizer)
        if reason:
            self.refuse_capture(reason)
        else:
            self.captured = CapturedStep(self.update_by, self.optimizer, self.fabric.device)
        return self.captured is not None

    def refuse_capture(self, reason: str) -> None:
        """Say on a GPU that steps are not captured.

        Raises:
            LikewiseError: they were to be.
        """
        if self.settings.cuda_graph == "on":
            raise LikewiseError(f"--cuda-graph on was given, but this step cannot be captured: {reason}.")
        if self.fabric.device.type == "cuda":
            self.screen.say(f"Steps are launched one operation at a time, without a CUDA graph: {reason}.")

    def take_captured_step(self, batch: Batch) -> Step:
        """One step by one batch, from the graph once there is one."""
        assert self.captured is not None
        progress = self.progress(0)
        seed_networks(progress.seed, progress.step, progress.rank, "dropout")
        self.rate = self.learning_rate()
        self.times.begin("forward")
        before, has_support, failed = self.state.images, batch.support is not None, self.captured.failed
        try:
            step = self.captured(batch, progress, self.rate)
        except torch.cuda.OutOfMemoryError:
            raise out_of_memory_error(self.fabric.device) from None
        if self.captured.failed != failed:
            self.refuse_capture(self.captured.failed)
        if self.state.images == before:  # a graph counts nothing
            self.state.images += self.images_of_step[has_support]
        self.images_of_step[has_support] = self.state.images - before
        self.update_memories(step, progress)
        return step

    def update_by(self, batch: Batch, progress: Progress) -> Step:
        """Forward, backward and update as a graph can hold them: nothing waits for the device."""
        self.optimizer.zero_grad(set_to_none=True)
        self.counting = True
        with self.fabric.autocast():
            step = self.method.step(self.nets, batch, progress)
        self.counting = False
        step.loss.backward()
        step = step._replace(loss=step.loss.detach())
        if self.settings.clip_grad_norm is not None:
            norm = nn.utils.clip_grad_norm_(self.learner.parameters(), self.settings.clip_grad_norm)
            step = step._replace(metrics={**step.metrics, "grad_norm": norm})
        self.optimizer.step()
        return step

    def report(self, step: Step, batch: Batch) -> None:
        """Every few steps: loss and metrics to the log and the display, and a look at their health."""
        state = self.state
        if not _due(state.step, self.settings.log_every, self.settings.steps):
            self.display.step(state.step, state.images, state.seconds, None)
            return
        loss = float(mean_over_ranks(step.loss))
        metrics = {name: float(mean_over_ranks(value)) for name, value in step.metrics.items()}
        self.check_losses(loss, metrics)
        self.display.unread(self.unread.update())
        seconds = self.times.take()
        parts: dict[str, float] = {}
        if seconds is not None:
            parts = {f"seconds_{part}": round(value, 6) for part, value in seconds._asdict().items()}
        line = {"loss": loss, "lr": self.rate, **metrics, **self.collapse.measure(batch)}
        self.log.write({**line, **parts}, state)
        self.display.bottleneck(self.bottleneck.name(seconds) if seconds else "")
        self.display.step(state.step, state.images, state.seconds, loss)
        self.look_for_collapse(line)
        self.warn(self.bottleneck.check(seconds, state.step) if seconds else None)

    def take_scores(self, step: Step) -> None:
        """Online scores, when they are due; the networks are in training mode again afterwards."""
        if self.evaluate is None or not self.settings.eval_every:
            return
        if not _due(self.state.step, self.settings.eval_every, self.settings.steps):
            return
        self.nets.eval()
        with nullcontext() if self.ema is None else self.ema.swapped():
            self.scores = self.evaluate(self.nets)
        self.nets.train()
        self.log.write(self.scores, self.state)
        self.display.scores(self.scores)
        self.look_for_collapse(self.scores)
        for callback in self.callbacks:
            callback.on_evaluation(self.callback_state(step))

    def save_and_stop(self, step: Step, interruption: Interruption) -> None:
        """A checkpoint, when it is due; and the end, if a signal or a callback asks for it."""
        interrupted = interruption.requested()
        stopped = bool(self.stop_reason)
        if self.callbacks or _due(self.state.step, self.settings.eval_every, self.settings.steps):
            stopped = any_over_ranks(stopped, self.fabric.device)  # callbacks and evaluations may differ between ranks
        self.state.stopped_early = stopped and not interrupted and self.state.step < self.settings.steps
        if interrupted or stopped or _due(self.state.step, self.settings.save_every, self.settings.steps):
            self.save(step)
        where = f"step {self.state.step:,} of {self.settings.steps:,}"
        if interrupted and self.state.step < self.settings.steps:
            raise Interrupted(f"Stopped at {where}.")
        if self.state.stopped_early:
            reason = self.stop_reason or "a callback in another process stopped it"
            self.log.write({"stopped_early": reason}, self.state)
            self.screen.say(f"Stopped early at {where}: {reason}.")

    def save(self, step: Step) -> None:
        """A checkpoint; never of networks that have diverged."""
        if self.folder is None:
            return
        self.check_losses(float(step.loss), step.metrics)
        save_checkpoint(self.fabric, self.folder, self.checkpoint())
        self.saved_step = self.state.step
        for callback in self.callbacks:
            callback.on_checkpoint(self.callback_state(step))

    # What the steps above are made of.

    def progress(self, number: int) -> Progress:
        """Progress of training at a batch of this step; methods count batches."""
        at = self.state.step * self.accumulate + number
        return Progress(at, self.batches, self.settings.seed, rank(), world_size(), self.loader.steps_per_epoch)

    def learning_rate(self) -> float:
        """The rate of the next step; the schedule counts optimiser steps."""
        steps_per_epoch = max(self.loader.steps_per_epoch // self.accumulate, 1)
        return self.recipe.rate_at(self.state.step, self.settings.steps, steps_per_epoch, self.step_batch_size)

    @contextmanager
    def gradients_in_order(self, number: int) -> Iterator[None]:
        """Count the encoder's images, and let devices average their gradients with the last batch of a step alone."""
        more = number < self.accumulate - 1
        self.counting = True
        with self.fabric.no_backward_sync(self.learner, enabled=more):  # type: ignore[arg-type]
            yield
        self.counting = False

    def count_images(self, images: int) -> None:
        """Count the images that the main loss is taken of: none in a method's own updates, nor to fill a cache."""
        if torch.is_grad_enabled() and self.counting:
            self.state.images += images * world_size()

    def check_losses(self, loss: float, metrics: Mapping[str, Tensor | float]) -> None:
        """Raise if the loss, or a loss of the method's own updates, is no number."""
        for value in (loss, *(float(metrics[name]) for name in self.own_losses)):
            self.health.check_loss(value, self.state.step, self.rate, self.saved_step)

    def look_for_collapse(self, line: Mapping[str, float]) -> None:
        """Read a line of the log; say what is found, and stop if that is asked for."""
        self.stop_reason = self.collapse.read(line, self.state.step, self.write_line) or self.stop_reason

    def write_line(self, values: Mapping[str, float | str]) -> None:
        """Add a line to the log."""
        self.log.write(values, self.state)

    def warn(self, warning: str | None) -> None:
        """To the log and the screen, if there is something to warn of."""
        if warning:
            self.log.write({"warning": warning}, self.state)
            self.screen.say(f"[yellow]{escape(warning)}[/yellow]")

    def forget_peak_memory(self) -> None:
        """Let a GPU measure the memory of what follows."""
        if self.fabric.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.fabric.device)

    def report_peak_memory(self) -> None:
        """What a step takes of a GPU's memory at its peak; a CPU does not tell."""
        device = self.fabric.device
        if device.type != "cuda":
            return
        peak = torch.cuda.max_memory_allocated(device)
        total = torch.cuda.get_device_properties(device).total_memory
        self.log.write({"peak_memory_bytes": peak}, self.state)
        self.screen.say(f"The first step took {peak / 1e9:.1f} of {total / 1e9:.1f} GB of {device} at its peak.")

    def checkpoint(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        optimizer = getattr(self.optimizer, "optimizer", self.optimizer)  # without Fabric's wrapper
        content: dict[str, Any] = {"learner": self.learner, "optimizer": optimizer, **asdict(self.state)}
        if self.ema is not None:
            content["model_ema"] = self.ema
        return content

    def callback_state(self, step: Step | None = None) -> CallbackState:
        """What callbacks see."""
        state = self.state
        return CallbackState(
            step=state.step,
            steps=self.settings.steps,
            images=state.images,
            seconds=state.seconds,
            scores=self.scores,
            nets=self.nets,
            optimizer=self.optimizer,
            run=self.folder,
            stop=self.request_stop,
            log=self.write_line,
            newest=step,
        )

    def request_stop(self, reason: str) -> None:
        """End training after the step in progress."""
        self.stop_reason = reason


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


def with_metrics_of(step: Step, own_steps: Mapping[str, Step]) -> Step:
    """A step whose metrics hold those of the method's own updates, and their losses as ``<name>_loss``."""
    metrics: dict[str, Tensor] = {}
    for name, own_step in own_steps.items():
        metrics[f"{name}_loss"] = own_step.loss
        metrics |= own_step.metrics
    return step._replace(metrics={**metrics, **step.metrics})


def mean_step(steps: Sequence[Step]) -> Step:
    """Several batches as one step: the mean of losses and metrics, and the rows of all for the memories."""
    if len(steps) == 1:
        return steps[0]
    loss = torch.stack([step.loss for step in steps]).mean()
    metrics: dict[str, Tensor] = {}
    for name in steps[-1].metrics:
        values = [step.metrics[name] for step in steps if name in step.metrics]
        metrics[name] = torch.stack([value.float() for value in values]).mean()
    memory_updates: dict[str, Tensor] = {}
    for name in steps[-1].memory_updates:
        memory_updates[name] = torch.cat([step.memory_updates[name] for step in steps])
    return Step(loss, metrics, memory_updates)


def divide_gradients(learner: nn.Module, count: int) -> None:
    """Turn the sum of the gradients of several batches into their mean."""
    for parameter in learner.parameters():
        if parameter.grad is not None:
            parameter.grad.div_(count)


def _due(step: int, every: int, steps: int) -> bool:
    """Whether something that happens every so many steps, and at the end, happens now."""
    return step == steps or (every > 0 and step % every == 0)
