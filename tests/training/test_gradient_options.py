"""Clipping, accumulation and averaged weights: what they compute, and that a stop is still invisible."""

import json

import pytest
import torch
from lightning_fabric import Fabric

import likewise as lw
from likewise.encoders import load_encoder
from likewise.errors import LikewiseError
from likewise.methods import Progress, Recipe
from likewise.run_folder import RunFolder
from likewise.runs.trained import load_trained
from likewise.training import Callback, Interrupted, LoopSettings, train
from likewise.training.memory_layout import channels_last
from likewise.training.model_ema import averaged_tensors
from methods.fixtures import ALL, images, loader, method, nets_of
from training.test_resume import StopAfter

STEPS = 4
RECIPE = Recipe("sgd", 0.2, weight_decay=0.0, warm_up=0.0)


def trained(name, folder=None, evaluate=None, callbacks=(), steps=STEPS, **settings):
    rule = method(name)
    nets = nets_of(rule)
    if folder is not None:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    plan = LoopSettings(steps, seed=4, log_every=1, eval_every=1, **settings)
    fabric, run = Fabric(accelerator="cpu", devices=1), folder and RunFolder(folder)
    train(
        fabric,
        rule,
        nets,
        loader(rule),
        RECIPE,
        plan,
        run,
        evaluate or (lambda _: {}),
        None,
        callbacks,
    )
    return nets


def lines(folder):
    kept = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in kept if "loss" in line]


class Gradients(Callback):
    """Stores the norm of the gradient after each step, and the gradient of the first layer."""

    def __init__(self):
        self.norms, self.first = [], []

    def on_step(self, state):
        gradients = [p.grad.flatten() for p in state.nets.parameters() if p.grad is not None]
        self.norms.append(float(torch.cat(gradients).norm()))
        self.first.append(state.nets.encoder.blocks[0][0].weight.grad.clone())


def same(nets, others):
    return all(
        torch.equal(value, others.state_dict()[key]) for key, value in nets.state_dict().items()
    )


def test_gradients_are_clipped_to_the_norm_and_the_true_norm_is_logged(tmp_path):
    plain, clipped = Gradients(), Gradients()
    trained("simclr", callbacks=[plain], steps=1)
    limit = plain.norms[0] / 2
    trained("simclr", tmp_path, callbacks=[clipped], steps=1, clip_grad_norm=limit)
    assert clipped.norms[0] == pytest.approx(limit, rel=1e-4)
    torch.testing.assert_close(clipped.first[0], plain.first[0] / 2, rtol=1e-4, atol=1e-7)
    assert lines(tmp_path)[0]["grad_norm"] == pytest.approx(plain.norms[0], rel=1e-4)


def test_a_limit_that_is_never_reached_changes_nothing():
    assert same(trained("simclr"), trained("simclr", clip_grad_norm=1e6))


@pytest.mark.parametrize("microbatch", [None, 4])
def test_accumulated_gradients_are_the_mean_over_batches(microbatch, tmp_path):
    """Written out: each batch has views of its own; statistics of batch normalisation move with each batch."""
    rule, found = method("simclr"), Gradients()
    trained(
        "simclr",
        tmp_path,
        callbacks=[found],
        steps=1,
        accumulate_grad_batches=3,
        microbatch=microbatch,
    )
    nets, losses = nets_of(rule), []
    channels_last(nets.train())
    for number in range(3):
        batch, progress = loader(rule).batch(number), Progress(number, 3, 4)
        if microbatch is None:
            loss = rule.step(nets, batch, progress).loss
        else:  # without gradients through the cache: what batch normalisation sees is a microbatch
            rows = [rule.embed(nets, part, progress) for part in batch.microbatches(2)]
            order = torch.cat([torch.arange(8)[part::2] for part in range(2)]).argsort()
            whole = {name: torch.cat([part[name] for part in rows])[order] for name in rows[0]}
            loss = rule.compute_loss(nets, whole, progress).loss
        (loss / 3).backward()
        losses.append(loss.item())
    torch.testing.assert_close(
        found.first[0], nets.encoder.blocks[0][0].weight.grad, rtol=1e-4, atol=1e-6
    )
    assert lines(tmp_path)[0]["loss"] == pytest.approx(sum(losses) / 3)
    assert lines(tmp_path)[0]["images"] == 3 * 16


def test_steps_schedule_and_rate_count_optimiser_steps(tmp_path):
    """Three batches of 8 make a step of 24 images, for which the rate is scaled."""
    trained("simclr", tmp_path, accumulate_grad_batches=3)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4]
    assert [line["lr"] for line in lines(tmp_path)] == [
        RECIPE.rate_at(step, 4, 1, 24) for step in range(4)
    ]


def test_memories_move_once_a_step_with_the_rows_of_all_its_batches():
    """A queue takes every batch; a teacher follows the weights that the optimiser has moved."""
    rule = method("moco-v2")
    nets, moved = nets_of(rule), []

    class Watch(Callback):
        def on_step(self, state):
            moved.append(int(state.nets.queue.pushed))

    fabric, plan = Fabric(accelerator="cpu", devices=1), LoopSettings(2, accumulate_grad_batches=2)
    train(fabric, rule, nets, loader(rule), RECIPE, plan, callbacks=[Watch()])
    assert moved == [16, 32]


@pytest.mark.parametrize("name", ["suncet", "moco-v2", "ugan", "comatch"])
def test_stopped_and_resumed_equals_never_stopped(name, tmp_path):
    options = {"accumulate_grad_batches": 2, "clip_grad_norm": 0.5, "model_ema_decay": 0.9}
    whole = trained(name, tmp_path / "whole", **options)
    with pytest.raises(Interrupted):
        trained(name, tmp_path / "parts", StopAfter(2), **options)
    resumed = trained(name, tmp_path / "parts", **options)
    assert same(whole, resumed)
    assert [line["loss"] for line in lines(tmp_path / "whole")] == [
        line["loss"] for line in lines(tmp_path / "parts")
    ]


def test_the_average_is_the_one_of_the_formula_and_is_what_is_left(tmp_path):
    newest, found = [], {}

    class Watch(Callback):
        def on_step(self, state):
            newest.append(
                {key: value.clone() for key, value in averaged_tensors(state.nets).items()}
            )

    def evaluate(nets):
        found[len(newest)] = {key: value.clone() for key, value in averaged_tensors(nets).items()}
        return {}

    nets = trained("simclr", evaluate=evaluate, callbacks=[Watch()], model_ema_decay=0.8)
    for key, average in newest[0].items():
        for step, weights in enumerate(newest, start=1):
            average = average if step == 1 else 0.8 * average + 0.2 * weights[key]
            torch.testing.assert_close(found[step][key], average, rtol=1e-5, atol=1e-6)
    for key, value in averaged_tensors(nets).items():
        assert torch.equal(value, found[STEPS][key])
    assert any(key.endswith("running_mean") for key in found[1])


def test_averaging_does_not_touch_training():
    plain, watched, averaged = Gradients(), Gradients(), trained("simclr")
    trained("simclr", callbacks=[plain])
    ema = trained("simclr", callbacks=[watched], model_ema_decay=0.8)
    assert all(
        torch.equal(one, other) for one, other in zip(plain.first, watched.first, strict=True)
    )
    assert not same(averaged, ema)


@pytest.mark.parametrize("name", ["moco-v2", "ugan"])
def test_teachers_queues_and_adversaries_are_not_averaged(name):
    parts = {key.partition(".")[0] for key in averaged_tensors(nets_of(method(name)))}
    assert parts == ({"encoder", "head"} if name == "moco-v2" else {"encoder", "classifier"})


@pytest.mark.parametrize("name", ALL)
def test_every_method_trains_with_all_options(name):
    nets = trained(
        name, steps=2, accumulate_grad_batches=2, clip_grad_norm=1.0, model_ema_decay=0.9
    )
    assert all(torch.isfinite(value).all() for value in nets.state_dict().values())


@pytest.mark.parametrize(
    "option", [{"accumulate_grad_batches": 0}, {"clip_grad_norm": 0.0}, {"model_ema_decay": 1.0}]
)
def test_what_makes_no_sense_is_refused(option, tmp_path):
    [name] = option
    with pytest.raises(LikewiseError) as refused:
        lw.train("fashion-mnist-mini", out=tmp_path / "run", **option)
    assert f"--{name.replace('_', '-')} " in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_the_encoder_of_a_run_is_the_average(tmp_path):
    data = images(40).pixels.images[:, 0].numpy(), torch.arange(40).numpy() % 2
    settings = {"method": "simclr", "steps": 3, "batch_size": 8, "device": "cpu", "num_evals": 1}
    encoders = {}
    for decay in (None, 0.5):
        lw.train(data, out=tmp_path / str(decay), model_ema_decay=decay, **settings)
        encoders[decay], _ = load_encoder(tmp_path / str(decay))
    weights = {decay: next(iter(encoder.parameters())) for decay, encoder in encoders.items()}
    assert not torch.equal(weights[None], weights[0.5])
    assert torch.equal(
        next(iter(load_trained(tmp_path / "0.5").nets.encoder.parameters())), weights[0.5]
    )
    assert "0.5" in (tmp_path / "0.5" / "train.log").read_text()
