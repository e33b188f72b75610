"""One training step: forward, backward, optimiser, and then what gradients do not move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from likewise.collectives import rank, world_size
from likewise.data.batch import Batch
from likewise.data.loader import Loader
from likewise.methods import Method, Nets, Progress, Recipe, Step
from likewise.training.accumulation import divide_gradients, mean_step, with_metrics_of
from likewise.training.bottleneck import StepTimes
from likewise.training.cached_gradients import Learner, gradients_of
from likewise.training.checkpoint import load_checkpoint
from likewise.training.fully_sharded import (
    WholeOptimizerState,
    WholeState,
    is_fully_sharded,
    refusal_of,
    whole_tensor,
)
from likewise.training.gpu_memory import out_of_memory_error
from likewise.training.health import Health
from likewise.training.image_counter import ImageCounter
from likewise.training.logs import TrainingState
from likewise.training.loop_settings import LoopSettings
from likewise.training.manual_backward import ManualBackward
from likewise.training.microbatch import count_microbatches
from likewise.training.model_ema import ModelEMA
from likewise.training.optimizers import build_optimizer
from likewise.training.precision import precision_of

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class TrainStep:
    """Takes the batches of a run, and a step with each, or with each group of them.

    It owns all that a step changes, and so all that a checkpoint holds.

    Args:
        fabric: devices and precision, launched.
        method: the learning rule.
        nets: what it built.
        loader: of the batches to come.
        recipe: optimiser and schedule.
        settings: of the loop.
    """

    def __init__(
        self,
        fabric: Fabric,
        method: Method,
        nets: Nets,
        loader: Loader,
        recipe: Recipe,
        settings: LoopSettings,
    ) -> None:
        self.fabric, self.method, self.nets = fabric, method, nets
        self.recipe, self.settings = recipe, settings
        self.accumulate = settings.accumulate_grad_batches
        self.batch_size = loader.batch_size * self.accumulate
        self.steps_per_epoch = loader.steps_per_epoch

        rows = loader.batch_size // world_size()
        self.microbatches = count_microbatches(settings.microbatch, rows, nets)
        self.learner, self.optimizer = self.set_up()
        self.gradients = gradients_of(fabric, self.learner, self.microbatches)
        self.manual_backward = ManualBackward(fabric, nets, self.microbatches)
        decay = settings.model_ema_decay
        self.ema = None if decay is None else ModelEMA(nets, decay)

        self.state = TrainingState()
        self.counter = ImageCounter(nets.encoder)
        self.health = Health(precision_of(fabric))
        self.times = StepTimes(fabric.device)
        self.rate = 0.0
        self.own_losses: list[str] = []
        self.group: list[Step] = []

    def set_up(self) -> tuple[nn.Module, Optimizer]:
        """Learner and optimiser on the device, or cut among the devices."""
        learner: Any = Learner(self.method, self.nets)
        if is_fully_sharded(self.fabric):
            # first: it puts other parameters in their place
            learner = self.fabric.setup_module(learner)
            return learner, cast(Optimizer, self.fabric.setup_optimizers(self.build_optimizer()))
        learner, optimizer = self.fabric.setup(learner, self.build_optimizer())
        return learner, cast(Optimizer, optimizer)

    def build_optimizer(self) -> Optimizer:
        """Of the parameters as they are now."""
        return build_optimizer(
            self.recipe, self.nets, self.batch_size, self.nets.learning_rate_scales
        )

    def __call__(self, batch: Batch) -> Step | None:
        """Take in a batch; None where the gradients of more batches belong to this optimiser step."""
        self.group.append(self.compute_gradients(batch))
        if len(self.group) < self.accumulate:
            return None
        step = self.update_weights(mean_step(self.group))
        self.update_memories(step, self.progress(len(self.group) - 1))
        self.group = []
        self.state.images += self.counter.take() * world_size()
        return step

    def compute_gradients(self, batch: Batch) -> Step:
        """One batch: the method's own updates, forward and backward."""
        progress = self.progress(len(self.group))
        progress.seed_dropout()
        if not self.group:
            self.rate = self.learning_rate()
            self.optimizer.zero_grad(set_to_none=True)
        self.times.begin("forward")
        try:
            own_steps = self.method.before_step(self.nets, batch, progress, self.manual_backward)
            self.own_losses = [f"{name}_loss" for name in own_steps]
            with self.no_sync_before_last(), self.counter.enabled():
                step = self.gradients.forward(batch, progress)
                step = with_metrics_of(step, own_steps)
                # Elsewhere reading a loss would stall the device.
                if self.fabric.device.type == "cpu":
                    self.check_losses(float(step.loss.detach()), step.metrics)
                self.times.begin("backward")
                self.gradients.backward(step)
        except torch.cuda.OutOfMemoryError:
            raise out_of_memory_error(self.fabric.device) from None
        except RuntimeError as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise
            raise refusal from None
        return step._replace(loss=step.loss.detach())

    def update_weights(self, step: Step) -> Step:
        """The optimiser's step by the mean gradient of the batches."""
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = self.rate * parameters.get("lr_scale", 1.0)
        if self.accumulate > 1:
            divide_gradients(self.learner, self.accumulate)
        if self.settings.clip_grad_norm is not None:
            norm = self.fabric.clip_gradients(
                self.learner,
                self.optimizer,
                max_norm=self.settings.clip_grad_norm,
                error_if_nonfinite=False,
            )
            assert norm is not None
            step = step._replace(metrics={**step.metrics, "grad_norm": whole_tensor(norm)})
        self.optimizer.step()
        return step

    def update_memories(self, step: Step, progress: Progress) -> None:
        """What gradients do not move: teachers, queues, the average of the weights."""
        self.method.after_update(self.nets, step, progress)
        if self.ema is not None:
            self.ema.update()
        self.state.step += 1

    def progress(self, number: int = 0) -> Progress:
        """Progress of training at a batch of this step; methods count batches."""
        at = self.state.step * self.accumulate + number
        return Progress(
            at,
            self.settings.batches,
            self.settings.seed,
            rank(),
            world_size(),
            self.steps_per_epoch,
        )

    def learning_rate(self) -> float:
        """The rate of the next step; the schedule counts optimiser steps."""
        steps_per_epoch = max(self.steps_per_epoch // self.accumulate, 1)
        return self.recipe.rate_at(
            self.state.step, self.settings.steps, steps_per_epoch, self.batch_size
        )

    @contextmanager
    def no_sync_before_last(self) -> Iterator[None]:
        """Devices average their gradients with the last batch of a step alone."""
        is_last = len(self.group) == self.accumulate - 1
        with self.fabric.no_backward_sync(self.learner, enabled=not is_last):  # type: ignore[arg-type]
            yield

    def check_losses(self, loss: float, metrics: Mapping[str, Tensor | float]) -> None:
        """Raise if the loss, or a loss of the method's own updates, is no number."""
        for value in (loss, *(float(metrics[name]) for name in self.own_losses)):
            self.health.check_loss(value, self.state.step, self.rate)

    def checkpoint(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        optimizer = getattr(self.optimizer, "optimizer", self.optimizer)  # without Fabric's wrapper
        content: dict[str, Any] = {"learner": self.learner, "optimizer": optimizer}
        if self.ema is not None:
            content["model_ema"] = self.ema
        if is_fully_sharded(self.fabric):
            content = {name: WholeState(each) for name, each in content.items()}
            content["optimizer"] = WholeOptimizerState(optimizer)
        return {**content, **asdict(self.state)}

    def load(self, checkpoint: Path) -> None:
        """Go on where a checkpoint was written."""
        self.state = TrainingState(**load_checkpoint(checkpoint, self.checkpoint()))
        self.state.stopped_early = False
        self.health.saved_step = self.state.step
