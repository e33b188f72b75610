"""A loss that is no number is noticed while a run goes on, and nothing is lost."""

import math
import re
from dataclasses import dataclass

import pytest
import torch
from lightning_fabric import Fabric

from likewise.methods import Recipe
from likewise.methods.simclr import SimCLR
from likewise.run_folder import RunFolder
from likewise.training import LoopSettings, train
from likewise.training.health import TrainingDiverged
from methods.fixtures import loader, nets_of


@dataclass(frozen=True)
class NanAt(SimCLR):
    """SimCLR whose loss is not a number from some step on."""

    step_number: int = 2

    def compute_loss(self, nets, rows, progress):
        step = super().compute_loss(nets, rows, progress)
        return step._replace(
            loss=step.loss * (math.nan if progress.step >= self.step_number else 1)
        )


def start(rule, folder, steps=6):
    (folder / "checkpoints").mkdir(exist_ok=True)
    nets = nets_of(rule)
    plan = LoopSettings(steps, log_every=1, save_every=1)
    fabric = Fabric(accelerator="cpu", devices=1)
    train(fabric, rule, nets, loader(rule), Recipe(), plan, RunFolder(folder))
    return nets


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    rule = NanAt(hidden=16, dim=8)
    with pytest.raises(TrainingDiverged) as diverged:
        start(rule, tmp_path)
    assert re.search("nan.* step 2 .* step 2 ", str(diverged.value), re.DOTALL)
    assert "--recipe.learning-rate" in str(diverged.value)
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["step"] == 2
    assert all(torch.isfinite(value).all() for value in kept["learner"].values())


def test_nan_never_reaches_the_weights(tmp_path):
    rule = NanAt(hidden=16, dim=8, step_number=0)
    nets = nets_of(rule)
    with pytest.raises(TrainingDiverged):
        fabric = Fabric(accelerator="cpu", devices=1)
        train(fabric, rule, nets, loader(rule), Recipe(), LoopSettings(3))
    assert all(torch.isfinite(p).all() for p in nets.parameters())
