"""Trains and measures one arm of a claim with one seed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from likewise.claims.claim import ONLINE, Arm, Result
from likewise.claims.measures import TrainedArm
from likewise.counts import amount
from likewise.data.loader import Loader
from likewise.errors import LikewiseError
from likewise.evaluation.evaluation import EvaluationSettings
from likewise.methods import Nets
from likewise.run_folder import RunFolder
from likewise.runs.networks import build_nets
from likewise.runs.prepare import prepare
from likewise.runs.prepared import Prepared
from likewise.runs.train_run import online_scores, run_training
from likewise.training import Interrupted, LoopSettings, TrainingState, train
from likewise.training.launch import DeviceKind, environment, launch
from likewise.training.screen import Screen

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class ArmTrainer:
    """Trains arms on one data set.

    Args:
        data: the data set.
        steps_share: share of an arm's steps to train for.
        device: where to compute.
        console: where progress is printed.
    """

    def __init__(self, data: Any, steps_share: float, device: DeviceKind, console: Console) -> None:
        self.data, self.steps_share, self.console = data, steps_share, console
        self.device: DeviceKind = device

    def train(self, arm: Arm, seed: int, folder: RunFolder) -> Result:
        """Train an arm, then measure it."""
        settings = replace(arm.settings, seed=seed, device=self.device, devices=1, loggers=())
        method = arm.method
        if arm.teacher is not None:
            teacher = self._train_teacher(arm.teacher, seed, folder)
            method = replace(method, teacher=str(teacher))  # type: ignore[call-arg]
        prepared = prepare(self.data, settings, method, arm.recipe)
        self._require_whole_batches(arm.name, prepared)
        fabric, precision = launch(self.device, devices=1, precision=settings.precision)
        loader = prepared.loader()
        nets, state = self._learn(fabric, prepared, loader, folder)
        trained = TrainedArm(self.data, prepared, nets, fabric.device)
        scores: dict[str, float] = {}
        since = time.perf_counter()
        for measure in arm.measures:
            scores |= measure(trained)
        return Result(
            arm=arm.name,
            seed=seed,
            scores=scores,
            curve=_curve(folder, loader.steps_per_epoch),
            steps=state.step,
            epochs=state.step / loader.steps_per_epoch,
            images=state.images,
            seconds=state.seconds,
            evaluation_seconds=time.perf_counter() - since,
            environment=environment(fabric, precision),
        )

    def _require_whole_batches(self, arm: str, prepared: Prepared) -> None:
        """Refuse data that have fewer training images than the claim's batches, which are not to be chosen here."""
        images, batch_size = len(prepared.train_indices), prepared.batch_size
        if images >= batch_size or prepared.method.card.labelled_only:  # which repeats what it has
            return
        raise LikewiseError(
            f"{self.data} has {amount(images, 'training image')}, but {arm} learns from batches of {batch_size:,}, as "
            f"the claim says. Give more images with --data, or leave --data out."
        )

    def _train_teacher(self, arm: Arm, seed: int, folder: RunFolder) -> Path:
        """The run that a distillation arm learns from, in a folder inside its own; trained if it is not there yet."""
        out = RunFolder(folder.path / "teacher")
        if out.report.exists():
            return out.path
        prepared = prepare(self.data, arm.settings, arm.method, arm.recipe)
        self._require_whole_batches(arm.name, prepared)
        settings = replace(
            arm.settings,
            seed=seed,
            device=self.device,
            devices=1,
            loggers=(),
            out=str(out.path),
            resume=out.config.exists(),
            steps=self._steps(prepared),
        )
        again, measures = "the same command", EvaluationSettings(few_label=None)
        run_training(self.data, settings, arm.method, arm.recipe, self.console, again, measures)
        return out.path

    def _learn(
        self, fabric: Fabric, prepared: Prepared, loader: Loader, folder: RunFolder
    ) -> tuple[Nets, TrainingState]:
        """Train as any run does, from the checkpoint if there is one."""
        nets, settings, steps = build_nets(prepared), prepared.settings, self._steps(prepared)
        every = max(steps // settings.num_evals, 1) if settings.num_evals else 0
        plan = LoopSettings(steps, settings.seed, eval_every=every, save_every=max(steps // 4, 1))
        online, screen = online_scores(prepared, fabric.device), Screen(self.console)
        try:
            state = train(
                fabric, prepared.method, nets, loader, prepared.recipe, plan, folder, online, screen
            )
        except Interrupted as stop:
            raise Interrupted(
                f"{stop} Everything is saved; the same command continues from there."
            ) from None
        return nets, state

    def _steps(self, prepared: Prepared) -> int:
        """Optimiser steps of an arm, at the share of the claim's steps that was requested."""
        return max(round(self.steps_share * prepared.steps(prepared.loader())), 2)


def _curve(folder: RunFolder, steps_per_epoch: int) -> list[dict[str, float]]:
    """The online scores that were logged, each with its cost."""
    return [
        {
            "step": line["step"],
            "epochs": line["step"] / steps_per_epoch,
            "images": line["images"],
            "seconds": line["seconds"],
            ONLINE: line[ONLINE],
        }
        for line in folder.metric_lines()
        if ONLINE in line
    ]
