"""Runs that adapt a trained start: what learns, what is saved, that a stop is invisible, and the guard of the start."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import likewise as lw
from likewise.encoders import load_encoder
from likewise.methods import Recipe
from likewise.runs.trained import load_trained
from likewise.training import Callback, Interrupted

STRIPES = 240


def striped(count=STRIPES, seed=0):
    """Grey images of four directions of stripes, with noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:16, :16]
    waves = [np.sin(rows), np.sin(columns), np.sin(rows + columns), np.sin(rows - columns)]
    labels = np.arange(count) % 4
    images = (
        np.stack([waves[label] for label in labels]) * 50
        + 128
        + random.normal(0, 40, (count, 16, 16))
    )
    return images.clip(0, 255).astype(np.uint8), labels


def train(out, method="simclr", **settings):
    settings = {
        "batch_size": 32,
        "steps": 4,
        "num_evals": 0,
        "device": "cpu",
        "labels": "8",
        **settings,
    }
    return lw.train(striped(), method=method, out=out, **settings)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A run whose features tell the stripes apart."""
    return train(
        tmp_path_factory.mktemp("start") / "run",
        "supcon",
        labels="all",
        steps=40,
        encoder="conv4-half",
    )


def weights(run):
    return load_file(run.folder.weights)


@pytest.mark.parametrize("method", [pytest.param("simclr", marks=pytest.mark.slow), "fixmatch"])
def test_lora_is_merged_into_a_plain_encoder(start, tmp_path, method):
    run = train(tmp_path / "run", method, from_run=str(start.folder.path), adapt="lora:2")
    before, after = weights(start), weights(run)
    assert list(after) == list(before)
    assert any(not torch.equal(after[name], before[name]) for name in before)
    statistics = [name for name in before if "running" in name]
    assert all(torch.equal(after[name], before[name]) for name in statistics)
    trained = load_trained(run.folder.path)
    assert torch.allclose(
        trained.nets.encoder.blocks[0][0].weight, after["blocks.0.0.weight"], atol=1e-6
    )


def test_frozen_and_last_change_what_they_name(start, tmp_path):
    before = weights(start)
    frozen = weights(
        train(tmp_path / "frozen", from_run=str(start.folder.path), adapt="frozen", steps=1)
    )
    last = weights(
        train(tmp_path / "last", from_run=str(start.folder.path), adapt="last:1", steps=1)
    )
    assert all(torch.equal(frozen[name], before[name]) for name in before)
    changed = {name.split(".")[1] for name in before if not torch.equal(last[name], before[name])}
    assert changed == {"3"}


def test_layers_learn_at_their_own_rates(start, tmp_path):
    seen = []

    class Rates(Callback):
        def on_step(self, state):
            seen.append(
                {group.get("lr_scale", 1.0): group["lr"] for group in state.optimizer.param_groups}
            )

    train(tmp_path / "run", from_run=str(start.folder.path), adapt="full:0.5", callbacks=[Rates()])
    rates = seen[1]
    assert set(rates) == {1.0, 0.5, 0.25, 0.125, 0.0625}
    assert all(rate == pytest.approx(scale * rates[1.0]) for scale, rate in rates.items())


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step(self, state):
        if state.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_run_with_lora_is_resumed_to_the_bit(start, tmp_path):
    settings = {"from_run": str(start.folder.path), "adapt": "lora:2", "save_every": 1, "steps": 3}
    whole = train(tmp_path / "whole", "fixmatch", **settings)
    with pytest.raises(Interrupted):
        train(tmp_path / "parts", "fixmatch", callbacks=[StopAt(2)], **settings)
    parts = train(tmp_path / "parts", "fixmatch", resume=True, **settings)
    assert all(torch.equal(weights(whole)[name], weights(parts)[name]) for name in weights(whole))


def test_what_cannot_be_adapted_is_refused(start, tmp_path):
    with pytest.raises(lw.LikewiseError, match="--pretrained"):
        train(tmp_path / "a", adapt="lora")
    with pytest.raises(lw.LikewiseError, match="last:4"):
        train(tmp_path / "b", from_run=str(start.folder.path), adapt="last:9")
    with pytest.raises(lw.LikewiseError, match="llowed"):
        train(tmp_path / "c", from_run=str(start.folder.path), adapt="lora:none")
    with pytest.raises(lw.LikewiseError, match="--head-init"):
        train(tmp_path / "d", from_run=str(start.folder.path), head_init="prototypes")
    assert not any((tmp_path / name / "config.json").exists() for name in "abcd")


def first_accuracy(run):
    lines = [json.loads(line) for line in run.folder.metrics.read_text().splitlines()]
    return next(line["train_top1"] for line in lines if "train_top1" in line)


def test_a_classifier_starts_from_class_means_where_the_encoder_starts_from_weights(
    start, tmp_path
):
    settings = {"steps": 1, "from_run": str(start.folder.path)}
    assert first_accuracy(train(tmp_path / "auto", "cross-entropy", **settings)) > 0.5
    assert (
        first_accuracy(train(tmp_path / "random", "cross-entropy", head_init="random", **settings))
        < 0.45
    )


RUIN = Recipe("sgd", learning_rate=1e5, warm_up=0.0, schedule="constant")


def ruined(start, out, action, steps):
    settings = {
        "from_run": str(start.folder.path),
        "steps": steps,
        "num_evals": steps,
        "val_fraction": 0.3,
    }
    return train(out, "simclr", recipe=RUIN, on_decline=action, labels="all", **settings)


def declines(run):
    return [line["decline"] for line in run.folder.metric_lines() if "decline" in line]


SLOW = pytest.mark.slow
ACTIONS = [
    pytest.param("warn", 2, marks=SLOW),
    pytest.param("stop", 3, marks=SLOW),
    ("rollback", 2),
]


@pytest.mark.parametrize(("action", "steps"), ACTIONS)
def test_a_run_that_falls_below_its_start_says_so_and_acts(start, tmp_path, action, steps):
    run = ruined(start, tmp_path / "run", action, steps)
    for score in ("knn20_top1", "linear_top1"):
        scored = [line["step"] for line in run.folder.metric_lines() if score in line]
        # The start is scored first, and stop ends the run before its third step.
        assert scored == [0, 1, 2]
    assert len(declines(run)) == (1 if action == "warn" else 2)
    same = all(torch.equal(weights(run)[name], weights(start)[name]) for name in weights(start))
    assert same == (action != "warn")
    kept = load_trained(run.folder.path).nets.encoder.state_dict()
    assert all(torch.equal(kept[name], weights(run)[name]) for name in kept)
    assert "Training makes the features worse" in run.folder.report.read_text()


def test_a_run_that_gets_better_keeps_its_last_networks(start, tmp_path):
    settings = {
        "from_run": str(start.folder.path),
        "num_evals": 2,
        "on_decline": "rollback",
        "labels": "all",
    }
    run = train(tmp_path / "run", "supcon", **settings)
    assert not declines(run)
    assert any(not torch.equal(weights(run)[name], weights(start)[name]) for name in weights(start))


def test_actions_that_could_never_be_taken_are_refused(start, tmp_path):
    with pytest.raises(lw.LikewiseError, match="--pretrained"):
        train(tmp_path / "a", on_decline="stop", num_evals=4)
    with pytest.raises(lw.LikewiseError, match="--num-evals"):
        train(tmp_path / "b", on_decline="rollback", from_run=str(start.folder.path))
    assert load_encoder(start.folder.path) is not None
