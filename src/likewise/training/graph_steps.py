"""The steps of a run from a CUDA graph, where they can be captured."""

from __future__ import annotations

import torch
from torch import nn

from likewise.collectives import world_size
from likewise.data.batch import Batch
from likewise.data.stored_batch import Examples, StoredBatch, gathered
from likewise.errors import LikewiseError
from likewise.methods import Progress, Step
from likewise.training.accumulation import mean_step
from likewise.training.activation_checkpointing import NOT_CAPTURED
from likewise.training.captured_step import CapturedStep, why_not_captured, why_not_this_optimizer
from likewise.training.gpu_memory import out_of_memory_error
from likewise.training.one_device_gradients import OneDeviceGradients
from likewise.training.screen import Screen
from likewise.training.train_step import TrainStep


class GraphSteps:
    """Takes steps as `TrainStep` does, whose networks and optimiser it uses, by replaying a graph.

    Args:
        eager: takes steps one operation at a time.
        screen: told why steps are not captured.
    """

    def __init__(self, eager: TrainStep, screen: Screen) -> None:
        self.eager, self.screen = eager, screen
        self.fabric, self.settings = eager.fabric, eager.settings
        self.undecided = self.settings.cuda_graph != "off"
        self.captured: CapturedStep | None = None
        self.gradients = OneDeviceGradients(
            self.fabric, eager.method, eager.nets, eager.microbatches, eager.counter.enabled
        )
        self.images_of_step: dict[bool, int] = {}
        """images of a step, by whether it has support: a replayed graph counts none"""

    def apply_to(self, examples: Examples) -> bool:
        """Whether steps come from a graph; decided at the first batch.

        Raises:
            LikewiseError: they were to, and cannot.
        """
        if not self.undecided:
            return self.captured is not None
        self.undecided = False
        reason = self.why_not(gathered(examples))
        if reason:
            self.refuse(reason)
            return False
        device = self.fabric.device
        stored = isinstance(examples, StoredBatch)
        positions = sum(map(len, examples.all_positions())) if stored else 0
        if self.eager.accumulate > 1:
            self.captured = CapturedStep(self.add_gradients, None, device, positions)
        else:
            self.captured = CapturedStep(self.compute, self.eager.optimizer, device, positions)
        return True

    def why_not(self, batch: Batch) -> str:
        """Why steps cannot be captured; empty if they can."""
        if self.settings.activation_checkpointing:
            return NOT_CAPTURED
        eager = self.eager
        reason = why_not_captured(
            self.fabric,
            eager.microbatches,
            eager.method,
            eager.nets,
            batch,
            eager.progress(),
        )
        return reason or why_not_this_optimizer(eager.optimizer)

    def refuse(self, reason: str) -> None:
        """Say on a GPU that steps are not captured.

        Raises:
            LikewiseError: they were to be.
        """
        if self.settings.cuda_graph == "on":
            raise LikewiseError(
                f"--cuda-graph on was given, but this step cannot be captured: {reason}."
            )
        if self.fabric.device.type == "cuda":
            self.screen.say(
                f"Steps are launched one operation at a time, without a CUDA graph: {reason}."
            )

    def __call__(self, examples: Examples) -> Step | None:
        """Take in a batch; None where the gradients of more batches belong to this optimiser step."""
        if self.eager.accumulate == 1:
            step = self.replay(examples)
            self.eager.update_memories(step, self.eager.progress())
            return step
        return self.accumulate(examples)

    def accumulate(self, examples: Examples) -> Step | None:
        """Forward and backward from the graph; the update of several batches, which is few launches, as usual."""
        assert self.captured is not None
        eager = self.eager
        if not eager.group:
            # A graph adds to the gradients where they lie, so they stay there.
            stay = self.captured.comes_from_graph(examples, eager.progress())
            eager.optimizer.zero_grad(set_to_none=not stay)
            if not stay:
                self.captured.forget_graphs()
        eager.group.append(own_memory(self.replay(examples)))
        if len(eager.group) < eager.accumulate:
            return None
        step = eager.update_weights(mean_step(eager.group))
        eager.update_memories(step, eager.progress(len(eager.group) - 1))
        eager.group = []
        return step

    def replay(self, examples: Examples) -> Step:
        """What is captured, by one batch, from the graph once there is one."""
        assert self.captured is not None
        eager, failed_before = self.eager, self.captured.failed
        progress = eager.progress(len(eager.group))
        progress.seed_dropout()
        eager.rate = eager.learning_rate()
        eager.times.begin("forward")
        try:
            step = self.captured(examples, progress, eager.rate)
        except torch.cuda.OutOfMemoryError:
            raise out_of_memory_error(self.fabric.device) from None
        if self.captured.failed != failed_before:
            self.refuse(self.captured.failed)
        self.count_images(has_support=examples.support is not None)
        return step

    def compute(self, batch: Batch, progress: Progress) -> Step:
        """Views, forward, backward and update as a graph can hold them: nothing waits for the device."""
        eager = self.eager
        eager.optimizer.zero_grad(set_to_none=True)
        step = self.add_gradients(batch, progress)
        if self.settings.clip_grad_norm is not None:
            norm = nn.utils.clip_grad_norm_(
                eager.learner.parameters(), self.settings.clip_grad_norm
            )
            step = step._replace(metrics={**step.metrics, "grad_norm": norm})
        eager.optimizer.step()
        return step

    def add_gradients(self, batch: Batch, progress: Progress) -> Step:
        """The method's own updates, views, forward and backward, the same."""
        step = self.gradients(batch, progress)
        self.eager.own_losses = self.gradients.own_losses
        return step

    def count_images(self, has_support: bool) -> None:
        """Add the images of the newest step to the run's."""
        images = self.eager.counter.take() * world_size() or self.images_of_step[has_support]
        self.images_of_step[has_support] = images
        self.eager.state.images += images


def own_memory(step: Step) -> Step:
    """A copy that the next replay does not overwrite."""
    metrics = {name: value.clone() for name, value in step.metrics.items()}
    memory_updates = {name: rows.clone() for name, rows in step.memory_updates.items()}
    return Step(step.loss.clone(), metrics, memory_updates)
