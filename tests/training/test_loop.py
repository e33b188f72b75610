"""What the loop promises besides resuming: memory moves, costs are counted, rates follow the recipe."""

import json
import time

import pytest
import torch
from lightning_fabric import Fabric

from likewise.data.loader import Loader
from likewise.methods import Recipe
from likewise.run_folder import RunFolder
from likewise.training import LoopSettings, train
from methods.fixtures import images, loader, method, nets_of


def run(rule, nets, batches, steps=4, folder=None, recipe=None):
    fabric = Fabric(accelerator="cpu", devices=1)
    where = None
    if folder is not None:
        (folder / "checkpoints").mkdir()
        where = RunFolder(folder)
    return train(
        fabric,
        rule,
        nets,
        batches,
        recipe or Recipe("sgd", 0.2),
        LoopSettings(steps, log_every=1),
        where,
    )


@pytest.mark.parametrize("name", ["moco-v2", "isd"])
def test_teachers_and_queues_move_with_every_step(name):
    rule = method(name)
    nets = nets_of(rule)
    before, teacher = nets.queue.rows.clone(), [p.clone() for p in nets.teacher.parameters()]
    run(rule, nets, loader(rule), steps=2)  # 2 steps of 8 fill the queue of 16
    assert (nets.queue.rows != before).any(dim=1).all()
    assert any(
        not torch.equal(p, old) for p, old in zip(nets.teacher.parameters(), teacher, strict=True)
    )


@pytest.mark.parametrize(
    ("name", "each"),
    [("cross-entropy", 8), ("simclr", 16), ("moco-v2", 8), ("byol", 16), ("suncet", 24)],
)
def test_images_are_those_that_the_trained_encoder_forwards(name, each):
    """Views and support count, a teacher's forwards do not."""
    rule = method(name)
    assert run(rule, nets_of(rule), loader(rule)).images == 4 * each


def test_waiting_for_data_is_training_time():
    class Slow(Loader):
        def batches(self, first_step, last_step):
            for batch in super().batches(first_step, last_step):
                time.sleep(0.1)
                yield batch

    rule = method("simclr")
    state = run(rule, nets_of(rule), Slow(images(), torch.arange(32) % 4, 8, 5))
    assert state.seconds >= 0.4


def test_rates_follow_the_recipe(tmp_path):
    rule, recipe = method("simclr"), Recipe("sgd", 0.3, warm_up=0.5)
    run(rule, nets_of(rule), loader(rule), folder=tmp_path, recipe=recipe)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["lr"] for line in lines] == [recipe.rate_at(step, 4, 4, 8) for step in range(4)]
    assert [line["images"] for line in lines] == [16, 32, 48, 64]


def test_networks_are_left_ready_to_use():
    rule = method("simclr")
    nets = nets_of(rule)
    run(rule, nets, loader(rule))
    assert not nets.training
    assert "normalise" not in vars(nets.encoder)  # what counts images is gone
