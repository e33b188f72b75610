"""The only training loop: batch, step, log, online scores, checkpoint; it resumes where it stopped.

A step itself (forward, backward, optimiser, memories) is `likewise.training.train_step.TrainStep`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING

from rich.console import Console

from likewise.collectives import any_over_ranks, mean_over_ranks, on_first_rank, world_size
from likewise.data.loader import Loader
from likewise.data.stored_batch import Examples, gathered
from likewise.errors import LikewiseError
from likewise.methods import Method, Nets, Recipe, Step
from likewise.run_folder import RunFolder
from likewise.training.activation_checkpointing import activation_checkpointing
from likewise.training.batch_norm import fused_batch_norm
from likewise.training.batch_norm.over_ranks import synchronise_batch_norm
from likewise.training.bottleneck import Bottleneck, remedy_for
from likewise.training.callback_lines import callback_line
from likewise.training.callbacks import Callback, CallbackState
from likewise.training.checkpoint import find_start, save_checkpoint
from likewise.training.collapse_guard import CollapseGuard
from likewise.training.fully_sharded import copy_whole, is_fully_sharded
from likewise.training.gpu_memory import forget_peak_memory, peak_memory
from likewise.training.graph_steps import GraphSteps
from likewise.training.host_threads import one_thread_for_gpu
from likewise.training.interruption import Interruption
from likewise.training.logs import MetricLog, TrainingState
from likewise.training.loop_settings import LoopSettings
from likewise.training.memory_layout import channels_last
from likewise.training.progress_display import ProgressDisplay
from likewise.training.same_views import agree_on_views
from likewise.training.screen import Screen
from likewise.training.train_step import TrainStep
from likewise.training.unread_images import UnreadImages
from likewise.training.worker_errors import killed_workers_told, with_plain_errors

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Evaluate = Callable[[Nets], Mapping[str, float]]
"""Online scores of the networks as they are, for the log and the display; must leave the networks unchanged."""


class Interrupted(LikewiseError):
    """Stopped by Ctrl-C or a scheduler, with everything saved."""

    exit_code = 130


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
        nets: what it built. With ``model_ema_decay`` they hold the averaged weights afterwards. Where the strategy
            cuts networks among the ranks, a copy is trained; ``nets`` get its weights for scores, and at the end.
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
        agree_on_views(fabric.device)
    channels_last(nets)
    nets.train()
    if loader.support:
        loader = loader.with_support(until_step=round(loader.support.until * settings.batches))
    loader = loader.on_device(fabric.device)
    # What is cut cannot be made whole again.
    trained = copy.deepcopy(nets.cpu()) if is_fully_sharded(fabric) else nets
    train_step = TrainStep(fabric, method, trained, loader, recipe, settings)
    screen = screen or Screen(Console(quiet=True))
    loop = _Loop(train_step, loader, run, evaluate, screen, callbacks, nets)
    with ExitStack() as stack:
        if settings.fused_batch_norm:
            stack.enter_context(fused_batch_norm(trained, fabric.device))
        if settings.activation_checkpointing:  # of blocks with their kernels
            stack.enter_context(activation_checkpointing(trained))
        loop.run()
    nets.to(fabric.device).eval()
    return loop.state


class _Loop:
    """One call of `train`: its objects, and what happens after each step."""

    def __init__(
        self,
        train_step: TrainStep,
        loader: Loader,
        folder: RunFolder | None,
        evaluate: Evaluate | None,
        screen: Screen,
        callbacks: Sequence[Callback],
        whole_nets: Nets,
    ) -> None:
        self.train_step = train_step
        self.loader = loader
        self.folder = folder
        self.evaluate = evaluate
        self.screen, self.callbacks = screen, callbacks
        self.fabric = train_step.fabric
        self.nets = train_step.nets
        self.settings = train_step.settings
        self.whole_nets = whole_nets
        self.graph_steps = GraphSteps(train_step, screen)
        self.scores: Mapping[str, float] = {}
        self.stop_reason = ""

        # The guard measures the weights of the start, so it is made before a checkpoint is loaded.
        method = train_step.method
        action = self.settings.on_collapse
        save_every = self.settings.save_every
        self.collapse = CollapseGuard(
            action, method, self.nets, loader.batch_size, save_every, folder, screen
        )
        self.load_checkpoint()
        self.collapse.start(self.state.step)
        self.unread = UnreadImages(loader.images, self.settings, folder, self.fabric.device)
        self.bottleneck = Bottleneck(remedy_for(loader))
        self.fabric.barrier()  # all ranks have read the log, which the first one now writes anew
        self.log = MetricLog(self.fabric, folder, self.state.step)
        self.display = ProgressDisplay(
            screen, method.card.title, self.state.step, self.settings.steps
        )

    @property
    def state(self) -> TrainingState:
        """The progress of the run."""
        return self.train_step.state

    def load_checkpoint(self) -> None:
        """Go on where an earlier call stopped; the screen tells of a checkpoint that is damaged."""
        if self.folder is None:
            return
        folder = self.folder
        start = on_first_rank(lambda: find_start(folder))
        if start.checkpoint is not None:
            self.train_step.load(start.checkpoint)
        if start.message:
            self.screen.warn(start.message)

    def run(self) -> None:
        """Step after step, until all are done, a callback stops them, or a signal asks for a stop."""
        try:
            counted = self.train_step.counter.installed()
            with Interruption(self.fabric.device) as interruption, self.display, counted:
                with one_thread_for_gpu(self.fabric.device), killed_workers_told():
                    self.take_steps(interruption)
            if self.train_step.ema is not None:
                self.train_step.ema.swap()  # from here on the networks hold the average
            self.copy_weights()
            self.collapse.end(self.write_line)
            for callback in self.callbacks:
                callback.on_end(self.callback_state())
        finally:
            self.log.close()

    def take_steps(self, interruption: Interruption) -> None:
        """Take the steps that are left, and after each do what is due."""
        with self.made_whole() if self.callbacks else nullcontext():
            for callback in self.callbacks:
                callback.on_start(self.callback_state())
        first_step = self.state.step
        forget_peak_memory(self.fabric.device)
        for step, examples in self.steps():
            if self.state.step == first_step + 1:
                self.report_peak_memory()
            self.report(step, examples)
            for callback in self.callbacks:
                callback.on_step(self.callback_state(step))
            self.take_scores(step)
            self.save_and_stop(step, interruption)
            if self.state.stopped_early:
                return

    def steps(self) -> Iterator[tuple[Step, Examples]]:
        """Take the steps that are left, each timed; yields each with its last batch."""
        times, settings = self.train_step.times, self.settings
        first_batch = self.state.step * settings.accumulate_grad_batches
        # Before the batch is fetched: waiting for data is training time.
        since = time.perf_counter()
        loader = self.loader
        take = loader.batches if loader.stored is None else loader.stored_batches
        batches = with_plain_errors(take(first_batch, settings.batches))
        examples = self.fetch(batches)
        while examples is not None:
            step = self.take_step(examples)
            if step is not None:
                times.end()
                self.state.seconds += time.perf_counter() - since
                yield step, examples
                since = time.perf_counter()
            examples = self.fetch(batches)

    def take_step(self, examples: Examples) -> Step | None:
        """From a graph where that is possible; None where more batches belong to the optimiser step."""
        if self.graph_steps.apply_to(examples):
            return self.graph_steps(examples)
        return self.train_step(gathered(examples))

    def fetch(self, batches: Iterator[Examples]) -> Examples | None:
        """The next batch, on the device; None after the last."""
        self.train_step.times.begin("data")
        batch = next(batches, None)
        return None if batch is None else batch.to(self.fabric.device)

    def report(self, step: Step, examples: Examples) -> None:
        """Every few steps: loss and metrics to the log and the display, and a look at their health."""
        state = self.state
        if not self.settings.is_due(self.settings.log_every, state.step):
            self.display.step(state.step, state.images, state.seconds, None)
            return
        loss = float(mean_over_ranks(step.loss))
        metrics = {name: float(mean_over_ranks(value)) for name, value in step.metrics.items()}
        self.train_step.check_losses(loss, metrics)
        self.display.unread(self.unread.update())
        seconds = self.train_step.times.take()
        parts = {} if seconds is None else seconds.as_line()
        line = {
            "loss": loss,
            "lr": self.train_step.rate,
            **metrics,
            **self.collapse.measure(gathered(examples)),
        }
        self.write_line({**line, **parts})
        self.display.bottleneck(self.bottleneck.name(seconds) if seconds else "")
        self.display.step(state.step, state.images, state.seconds, loss)
        self.look_for_collapse(line)
        self.warn(self.bottleneck.check(seconds, state.step) if seconds else None)

    def take_scores(self, step: Step) -> None:
        """Online scores, when they are due; the networks are in training mode again afterwards."""
        if not self.scores_are_due or (self.evaluate is None and self.whole_nets is self.nets):
            return
        ema = self.train_step.ema
        with nullcontext() if ema is None else ema.swapped(), self.made_whole():
            if self.evaluate is None:
                return
            self.scores = self.evaluate(self.whole_nets.eval())
            self.whole_nets.train()
        self.write_line(self.scores)
        self.display.scores(self.scores)
        self.look_for_collapse(self.scores)
        for callback in self.callbacks:
            callback.on_evaluation(self.callback_state(step))

    @contextmanager
    def made_whole(self) -> Iterator[None]:
        """While the context is open, the networks that the caller has hold what is trained, and are on the device."""
        self.copy_weights()
        are_cut = self.whole_nets is not self.nets
        if are_cut and self.fabric.is_global_zero:
            self.whole_nets.to(self.fabric.device)
        yield
        if are_cut:
            # A device that needs its networks cut has no room for all of them.
            self.whole_nets.cpu()

    def copy_weights(self) -> None:
        """Give the networks that the caller has what is trained, where each rank trains a part; every rank must ask."""
        if self.whole_nets is not self.nets:
            copy_whole(self.nets, self.whole_nets)

    @property
    def scores_are_due(self) -> bool:
        """Whether online scores are taken after this step, in the first process."""
        every = self.settings.eval_every
        return bool(every) and self.settings.is_due(every, self.state.step)

    def save_and_stop(self, step: Step, interruption: Interruption) -> None:
        """A checkpoint, when it is due; and the end, if a signal or a callback asks for it."""
        interrupted = interruption.requested()
        stopped = bool(self.stop_reason)
        if self.callbacks or self.scores_are_due:
            # Callbacks and evaluations may differ between ranks.
            stopped = any_over_ranks(stopped, self.fabric.device)
        has_steps_left = self.state.step < self.settings.steps
        self.state.stopped_early = stopped and not interrupted and has_steps_left
        if (
            interrupted
            or stopped
            or self.settings.is_due(self.settings.save_every, self.state.step)
        ):
            self.save(step)
        where = f"step {self.state.step:,} of {self.settings.steps:,}"
        if interrupted and has_steps_left:
            raise Interrupted(f"Stopped at {where}.")
        if self.state.stopped_early:
            reason = self.stop_reason or "a callback in another process stopped it"
            self.write_line({"stopped_early": reason})
            self.screen.say(f"Stopped early at {where}: {reason}.")

    def save(self, step: Step) -> None:
        """A checkpoint; never of networks that have diverged."""
        if self.folder is None:
            return
        self.train_step.check_losses(float(step.loss), step.metrics)
        save_checkpoint(self.fabric, self.folder, self.train_step.checkpoint())
        self.train_step.health.saved_step = self.state.step
        for callback in self.callbacks:
            callback.on_checkpoint(self.callback_state(step))

    def look_for_collapse(self, line: Mapping[str, float]) -> None:
        """Read a line of the log; say what is found, and stop if that is asked for."""
        self.stop_reason = (
            self.collapse.read(line, self.state.step, self.write_line) or self.stop_reason
        )

    def write_line(self, values: Mapping[str, float | str]) -> None:
        """Add a line to the log."""
        self.log.write(values, self.state)

    def warn(self, warning: str | None) -> None:
        """To the log and the screen, if there is something to warn of."""
        if warning:
            self.write_line({"warning": warning})
            self.screen.warn(warning)

    def report_peak_memory(self) -> None:
        """What the first step takes of a GPU's memory at its peak."""
        peak = peak_memory(self.fabric.device)
        if peak is None:
            return
        self.write_line({"peak_memory_bytes": peak.used})
        of_total = f"{peak.used / 1e9:.1f} of {peak.total / 1e9:.1f} GB of {self.fabric.device}"
        self.screen.say(f"The first step took {of_total} at its peak.")

    def callback_state(self, step: Step | None = None) -> CallbackState:
        """What callbacks see."""
        state = self.state
        return CallbackState(
            step=state.step,
            steps=self.settings.steps,
            images=state.images,
            seconds=state.seconds,
            scores=self.scores,
            nets=self.whole_nets,
            optimizer=self.train_step.optimizer,
            run=self.folder,
            stop=self.request_stop,
            log=lambda values: self.write_line(callback_line(values)),
            newest=step,
        )

    def request_stop(self, reason: str) -> None:
        """End training after the step in progress."""
        self.stop_reason = reason
