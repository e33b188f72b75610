"""NaN and collapse are noticed while it runs, and said plainly."""

import io
import math
import re
from dataclasses import dataclass

import pytest
import torch
from lightning_fabric import Fabric
from rich.console import Console

from likewise.methods import Recipe
from likewise.methods.simclr import SimCLR
from likewise.run_folder import RunFolder
from likewise.training import LoopSettings, train
from likewise.training.health import Health, TrainingDiverged
from likewise.training.screen import Screen
from methods.fixtures import loader, nets_of


@dataclass(frozen=True)
class NanAt(SimCLR):
    """SimCLR whose loss is not a number from some step on."""

    step_number: int = 2

    def compute_loss(self, nets, rows, progress):
        step = super().compute_loss(nets, rows, progress)
        return step._replace(loss=step.loss * (math.nan if progress.step >= self.step_number else 1))


@dataclass(frozen=True)
class Collapsed(SimCLR):
    """SimCLR that says its embeddings are all alike."""

    def compute_loss(self, nets, rows, progress):
        step = super().compute_loss(nets, rows, progress)
        return step._replace(metrics={"feature_std": torch.tensor(0.01)})


def start(rule, folder, steps=6, console=None):
    (folder / "checkpoints").mkdir(exist_ok=True)
    nets = nets_of(rule)
    plan = LoopSettings(steps, log_every=1, save_every=1)
    fabric = Fabric(accelerator="cpu", devices=1)
    screen = Screen(console) if console else None
    train(fabric, rule, nets, loader(rule), Recipe(), plan, RunFolder(folder), None, screen)
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


def test_collapse_is_said_once_on_screen_and_in_the_log(tmp_path):
    screen = io.StringIO()
    start(Collapsed(hidden=16, dim=8), tmp_path, console=Console(file=screen, width=200))
    assert screen.getvalue().count("feature_std 0.010") == 1
    assert (tmp_path / "metrics.jsonl").read_text().count('"warning"') == 1


def test_a_healthy_run_is_not_accused(tmp_path):
    screen = io.StringIO()
    start(SimCLR(hidden=16, dim=8), tmp_path, console=Console(file=screen, width=200))
    assert '"warning"' not in (tmp_path / "metrics.jsonl").read_text()


def test_a_short_dip_is_not_collapse():
    health = Health()
    assert [health.check_feature_std(feature_std, 1) for feature_std in (0.01, 0.01, 0.9, 0.01, 0.01)] == [None] * 5
    assert health.check_feature_std(0.01, 6) is not None
