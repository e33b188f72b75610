"""Stopping is invisible: a run that was stopped and resumed equals one that was not, bit for bit."""

import contextlib
import dataclasses
import json
import os
import signal
import threading
from dataclasses import dataclass

import pytest
import torch
from lightning_fabric import Fabric

from likewise.methods import Recipe
from likewise.methods.simclr import SimCLR
from likewise.run_folder import RunFolder
from likewise.training import Interrupted, LoopSettings, train
from methods.fixtures import ALL, loader, method, nets_of

STEPS = 6


class StopAfter:
    """Online scores that ask for a stop, as Ctrl-C would, once so many steps are done."""

    def __init__(self, looks):
        self.looks = looks

    def __call__(self, nets):
        self.looks -= 1
        if self.looks == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return {"knn20_top1": 0.5}


def run_once(folder, name, observe=None):
    rule = method(name)
    # The support ends half-way: resuming must land on the right side of it.
    if hasattr(rule, "supervised_until"):
        rule = dataclasses.replace(rule, supervised_until=0.5)
    nets = nets_of(rule)
    fabric = Fabric(accelerator="cpu", devices=1)
    plan = LoopSettings(STEPS, seed=4, log_every=1, eval_every=1)
    state = train(
        fabric,
        rule,
        nets,
        loader(rule),
        Recipe("lars", 0.2),
        plan,
        RunFolder(folder),
        observe or (lambda _: {}),
    )
    return state, {key: value.clone() for key, value in nets.state_dict().items()}


@pytest.mark.parametrize("name", ALL)
def test_stopped_and_resumed_equals_never_stopped(name, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        (folder / "checkpoints").mkdir(parents=True)
    state, weights = run_once(whole, name)
    with pytest.raises(Interrupted) as stopped:
        run_once(parts, name, StopAfter(2))
    assert "step 2 of 6" in str(stopped.value)
    resumed_state, resumed = run_once(parts, name)
    assert resumed_state.step == STEPS
    assert resumed_state.images == state.images
    assert weights.keys() == resumed.keys()
    assert [key for key in weights if not torch.equal(weights[key], resumed[key])] == []
    assert losses(whole) == losses(parts)


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


def test_a_run_that_is_not_stopped_never_reads_its_seed_twice(tmp_path):
    """Without the checkpoint the second half would start from the first weights: the test above can fail."""
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(Interrupted):
        run_once(tmp_path, "simclr", StopAfter(2))
    (tmp_path / "checkpoints" / "last.ckpt").unlink()
    state, _ = run_once(tmp_path, "simclr")
    assert state.step == STEPS
    assert losses(tmp_path)[0][0] == 1


def test_a_scheduler_may_stop_it_too(tmp_path):
    (tmp_path / "checkpoints").mkdir()

    def terminate(nets):
        os.kill(os.getpid(), signal.SIGTERM)
        return {}

    with pytest.raises(Interrupted):
        run_once(tmp_path, "simclr", terminate)
    assert RunFolder(tmp_path).checkpoint.exists()


def test_signals_are_given_back(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    before = signal.getsignal(signal.SIGINT)
    run_once(tmp_path, "simclr")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_checkpoint_of_another_shape_is_refused(tmp_path):
    from likewise.errors import LikewiseError

    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(Interrupted):
        run_once(tmp_path, "simclr", StopAfter(1))
    with pytest.raises(LikewiseError) as refused:
        run_once(tmp_path, "moco-v2")
    assert "last.ckpt" in str(refused.value) and "--out" in str(refused.value)


def test_a_checkpoint_of_another_format_is_refused(tmp_path):
    from likewise.errors import LikewiseError

    (tmp_path / "checkpoints").mkdir()
    run_once(tmp_path, "simclr")
    path = RunFolder(tmp_path).checkpoint
    torch.save({**torch.load(path, weights_only=True), "format": 1}, path)
    with pytest.raises(LikewiseError) as refused:
        run_once(tmp_path, "simclr")
    assert "format 1" in str(refused.value)


def test_half_a_line_in_the_log_does_no_harm(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(Interrupted):
        run_once(tmp_path, "simclr", StopAfter(3))
    with (tmp_path / "metrics.jsonl").open("a") as log:
        log.write('{"step": 4, "loss": 1.')
    run_once(tmp_path, "simclr")
    assert [step for step, _ in losses(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_lines_from_after_the_checkpoint_are_dropped(tmp_path):
    """A kill loses the steps since the last checkpoint; their lines must not stand beside the repeated ones."""
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(Interrupted):
        run_once(tmp_path, "simclr", StopAfter(3))
    with (tmp_path / "metrics.jsonl").open("a") as log:
        log.write('{"step": 4, "images": 0, "seconds": 0, "loss": 9.0}\n')
    run_once(tmp_path, "simclr")
    assert [step for step, _ in losses(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert 9.0 not in [loss for _, loss in losses(tmp_path)]


@dataclass(frozen=True)
class WithDropout(SimCLR):
    """SimCLR whose head drops units at random."""

    def build(self, encoder, classes):
        nets = super().build(encoder, classes)
        nets.head = torch.nn.Sequential(torch.nn.Dropout(0.5), nets.head)
        return nets


def test_dropout_is_a_function_of_seed_and_step_too(tmp_path):
    rule, ends = WithDropout(hidden=16, dim=8), []
    for stop in (None, 2):
        folder = tmp_path / str(stop)
        (folder / "checkpoints").mkdir(parents=True)
        for observe in ([StopAfter(stop)] if stop else []) + [lambda _: {}]:
            nets = nets_of(rule)
            torch.rand(7 if stop else 1)  # what else draws from PyTorch's generator must not matter
            fabric = Fabric(accelerator="cpu", devices=1)
            plan = LoopSettings(STEPS, seed=4, log_every=1, eval_every=1)
            with contextlib.suppress(Interrupted):
                train(
                    fabric,
                    rule,
                    nets,
                    loader(rule),
                    Recipe("sgd", 0.2),
                    plan,
                    RunFolder(folder),
                    observe,
                )
        ends.append(torch.cat([p.detach().flatten() for p in nets.parameters()]))
    assert torch.equal(ends[0], ends[1])


def test_two_threads_can_train(tmp_path):
    """Off the main thread signals cannot be caught; training must work all the same."""
    (tmp_path / "checkpoints").mkdir()
    ended = []
    worker = threading.Thread(target=lambda: ended.append(run_once(tmp_path, "simclr")[0].step))
    worker.start()
    worker.join(60)
    assert ended == [STEPS]
