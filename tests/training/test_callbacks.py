"""Callbacks see every event of a run, can end it early, and change nothing else."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

import likewise as lw
from likewise.errors import LikewiseError
from likewise.json_files import read_json
from likewise.methods import Recipe
from likewise.run_folder import RunFolder
from likewise.training import Callback, EarlyStopping, Interrupted, LoopSettings, train
from methods.fixtures import images, loader, method, nets_of

STEPS = 6


class Events(Callback):
    """Writes down what is called."""

    def __init__(self):
        self.seen = []

    def on_start(self, state):
        self.seen.append(("start", state.step))

    def on_step(self, state):
        self.seen.append(("step", state.step))

    def on_evaluation(self, state):
        self.seen.append(("evaluation", state.step))

    def on_checkpoint(self, state):
        self.seen.append(("checkpoint", state.step))

    def on_end(self, state):
        self.seen.append(("end", state.step))


class Scores:
    """Online scores that are given in advance."""

    def __init__(self, *values, name="knn20_top1"):
        self.values, self.name = iter(values), name

    def __call__(self, nets):
        return {self.name: next(self.values)}


def run(folder, callbacks=(), evaluate=None, steps=STEPS, **settings):
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    rule = method("simclr")
    nets = nets_of(rule)
    plan = LoopSettings(steps, seed=4, log_every=1, eval_every=1 if evaluate else 0, **settings)
    fabric = Fabric(accelerator="cpu", devices=1)
    state = train(
        fabric,
        rule,
        nets,
        loader(rule),
        Recipe("sgd", 0.2),
        plan,
        RunFolder(folder),
        evaluate,
        None,
        callbacks,
    )
    return state, nets


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_events_come_in_order(tmp_path):
    events = Events()
    run(tmp_path, [events], Scores(0.1, 0.2, 0.3, 0.4), steps=4, save_every=2)
    assert events.seen == [
        ("start", 0),
        *[("step", 1), ("evaluation", 1)],
        *[("step", 2), ("evaluation", 2), ("checkpoint", 2)],
        *[("step", 3), ("evaluation", 3)],
        *[("step", 4), ("evaluation", 4), ("checkpoint", 4)],
        ("end", 4),
    ]


def test_callbacks_are_called_in_their_order_and_see_the_run(tmp_path):
    order = []

    class First(Callback):
        def on_step(self, state):
            order.append("first")
            gradient = state.nets.encoder.blocks[0][0].weight.grad
            assert gradient.abs().sum() > 0
            assert state.images == 16 * state.step and state.steps == STEPS and state.seconds > 0
            assert state.loss == pytest.approx(lines(tmp_path)[-1]["loss"])
            assert state.metrics["feature_std"] == pytest.approx(lines(tmp_path)[-1]["feature_std"])
            assert state.optimizer.param_groups[0]["lr"] == lines(tmp_path)[-1]["lr"]
            assert state.run.checkpoint == tmp_path / "checkpoints" / "last.ckpt"

    class Second(Callback):
        def on_step(self, state):
            order.append("second")

    run(tmp_path, [First(), Second()])
    assert order == STEPS * ["first", "second"]


def test_callbacks_change_nothing(tmp_path):
    _, plain = run(tmp_path / "plain")
    _, watched = run(
        tmp_path / "watched", [Events(), EarlyStopping("knn20_top1", 99)], Scores(*STEPS * [0.5])
    )
    for key, value in plain.state_dict().items():
        assert torch.equal(watched.state_dict()[key], value)


def test_what_a_callback_logs_lies_in_the_log(tmp_path):
    class Norm(Callback):
        def on_step(self, state):
            state.log({"first_norm": float(state.nets.encoder.blocks[0][0].weight.grad.norm())})

    run(tmp_path, [Norm()])
    logged = [line for line in lines(tmp_path) if "first_norm" in line]
    assert [line["step"] for line in logged] == list(range(1, STEPS + 1))


def test_tensors_and_arrays_of_one_number_are_logged(tmp_path):
    class Log(Callback):
        def on_end(self, state):
            state.log({"a": torch.tensor(2.5), "b": np.float32(0.5), "c": np.array([3]), "d": "x"})

    run(tmp_path, [Log()])
    assert {name: lines(tmp_path)[-1][name] for name in "abcd"} == {
        "a": 2.5, "b": 0.5, "c": 3, "d": "x"
    }  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [{"norms": torch.ones(3)}, {"step": 1}, {"images": 1}, {"norm": [1.0]}, {1: 2.0}, 3.0],
    ids=["vector", "step", "images", "list", "number as name", "no mapping"],
)
def test_what_no_line_can_hold_is_refused(tmp_path, values):
    class Log(Callback):
        def on_step(self, state):
            state.log(values)

    with pytest.raises(LikewiseError, match=r"state\.log"):
        run(tmp_path, [Log()])


def test_a_callback_can_end_training_with_a_checkpoint(tmp_path):
    class After(Callback):
        def on_step(self, state):
            if state.step == 3:
                state.stop("three are enough")

    events = Events()
    state, _ = run(tmp_path, [After(), events])
    assert state.step == 3 and state.stopped_early
    assert events.seen[-2:] == [("checkpoint", 3), ("end", 3)]
    assert lines(tmp_path)[-1]["stopped_early"] == "three are enough"
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["step"] == 3


def test_a_run_that_was_stopped_early_can_go_on_to_the_same_bits(tmp_path):
    class After(Callback):
        def on_step(self, state):
            state.stop("soon")

    run(tmp_path / "parts", [After()])
    state, resumed = run(tmp_path / "parts")
    _, whole = run(tmp_path / "whole")
    assert state.step == STEPS and not state.stopped_early
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value)


def test_stopping_in_the_last_step_is_not_early(tmp_path):
    class AtTheEnd(Callback):
        def on_step(self, state):
            if state.step == state.steps:
                state.stop("the end")

    assert not run(tmp_path, [AtTheEnd()])[0].stopped_early


def test_an_exception_ends_the_run_as_it_is(tmp_path):
    class Pruned(Exception):
        pass

    class Prune(Callback):
        def on_evaluation(self, state):
            raise Pruned(state.step)

    events = Events()
    with pytest.raises(Pruned):
        run(tmp_path, [Prune(), events], Scores(0.1))
    assert ("end", 1) not in events.seen


def test_after_an_interruption_there_is_no_end(tmp_path):
    class Kill(Callback):
        def on_step(self, state):
            os.kill(os.getpid(), signal.SIGINT)

    events = Events()
    with pytest.raises(Interrupted):
        run(tmp_path, [Kill(), events])
    assert events.seen == [("start", 0), ("step", 1), ("checkpoint", 1)]


@pytest.mark.parametrize(
    ("mode", "min_delta", "scores", "steps"),
    [
        ("max", 0.0, [0.1, 0.3, 0.2, 0.3, 0.9, 0.9], 4),  # an equal score is no improvement
        ("max", 0.0, [0.1, 0.2, 0.1, 0.3, 0.2, 0.4], 6),
        ("min", 0.0, [0.9, 0.8, 0.85, 0.9, 0.1, 0.1], 4),
        ("max", 0.05, [0.10, 0.14, 0.15, 0.9, 0.9, 0.9], 3),
    ],
)
def test_early_stopping_waits_for_an_improvement(tmp_path, mode, min_delta, scores, steps):
    state, _ = run(tmp_path, [EarlyStopping("knn20_top1", 2, mode, min_delta)], Scores(*scores))
    assert state.step == steps


def test_early_stopping_counts_the_evaluations_before_a_resume(tmp_path):
    class Kill(Callback):
        def on_step(self, state):
            if state.step == 3:
                os.kill(os.getpid(), signal.SIGINT)

    stopping = EarlyStopping("knn20_top1", 3)
    with pytest.raises(Interrupted):
        run(tmp_path, [stopping, Kill()], Scores(0.5, 0.4, 0.4))
    state, _ = run(tmp_path, [stopping], Scores(0.4, 0.9, 0.9))
    assert state.step == 4


def test_early_stopping_refuses_what_it_cannot_use(tmp_path):
    for refused, named in (
        (lambda: EarlyStopping("x", 0), "patience"),
        (lambda: EarlyStopping("x", 1, "up"), "mode"),
    ):
        with pytest.raises(LikewiseError) as error:
            refused()
        assert named in str(error.value)
    with pytest.raises(LikewiseError) as error:
        run(tmp_path, [EarlyStopping("accuracy", 1)], Scores(0.5))
    assert "'accuracy'" in str(error.value) and "knn20_top1" in str(error.value)


def test_a_run_from_python_stops_early_and_says_so(tmp_path):
    data = images(40).pixels.images[:, 0].numpy(), torch.arange(40).numpy() % 2

    class Soon(lw.Callback):
        def on_step(self, state):
            state.stop("soon")

    settings = {"method": "simclr", "steps": 4, "batch_size": 8, "device": "cpu", "num_evals": 1}
    lw.train(data, out=tmp_path / "run", callbacks=[Soon()], **settings)
    environment = read_json(tmp_path / "run" / "environment.json")
    assert environment["stopped_early"] is True and environment["step"] == 1
    assert (tmp_path / "run" / "report.html").exists()
