"""A run that starts from weights keeps batch normalisation's running statistics, so that a short run does no harm."""

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import likewise as lw
from likewise.encoders import ModuleEncoder
from likewise.methods import Nets, Recipe
from likewise.methods.nets import batch_norms
from likewise.runs.networks import build_nets
from likewise.runs.trained import load_trained
from likewise.training.batch_norm.over_ranks import synchronise_batch_norm

STANDING = Recipe("sgd", learning_rate=1e-12, weight_decay=0.0)
"""Too slow to change a weight of float32."""


def pictures(count=48):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, 16, 16), dtype=np.uint8), np.arange(count) % 2


def train(out, method="simclr", **settings):
    settings = {"batch_size": 16, "steps": 3, "num_evals": 0, "device": "cpu", **settings}
    return lw.train(pictures(), method=method, out=out, **settings)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A run whose statistics are those of its own images."""
    return train(tmp_path_factory.mktemp("start") / "run", steps=2, encoder="conv4-half")


def features(run):
    images = torch.from_numpy(pictures()[0])[:, None] / 255
    with torch.no_grad():
        return run.encoder.eval()(images)


def test_a_run_that_learns_nothing_ends_with_the_features_of_its_start(start, tmp_path):
    run = train(tmp_path / "run", "byol", from_run=str(start.folder.path), recipe=STANDING)
    torch.testing.assert_close(features(run), features(start))
    teacher = load_trained(run.folder.path).nets.teacher[0].state_dict()
    statistics = {
        name: value for name, value in load_file(start.folder.weights).items() if "running" in name
    }
    assert statistics and all(
        torch.equal(teacher[name], value) for name, value in statistics.items()
    )


def test_statistics_that_may_move_change_the_features(start, tmp_path):
    run = train(
        tmp_path / "run", from_run=str(start.folder.path), recipe=STANDING, freeze_bn_stats="off"
    )
    assert (features(run) - features(start)).abs().max() > 0.01


class Small(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)
        )


def frozen_parts(**settings):
    return build_nets(lw.prepare(pictures(), batch_size=16, **settings)).frozen_bn_stats


def test_auto_freezes_a_start_and_nothing_else(start):
    assert frozen_parts(method="byol", from_run=str(start.folder.path)) == ("encoder", "teacher.0")
    assert frozen_parts(method="simclr", pretrained="lite0", image_size=32) == ("encoder",)
    assert frozen_parts(method="simclr") == ()
    assert frozen_parts(method="simclr", encoder=Small()) == ()


def test_a_module_is_frozen_where_that_is_asked_for():
    nets = build_nets(
        lw.prepare(
            pictures(), method="simclr", encoder=Small(), batch_size=16, freeze_bn_stats="on"
        )
    )
    assert [layer.training for layer in batch_norms(nets.encoder)] == [False, False]
    assert all(layer.training for layer in batch_norms(nets.head))


def test_only_copies_of_the_encoder_are_frozen_also_over_ranks():
    torch.manual_seed(0)
    encoder, other = (
        ModuleEncoder(Small(), image_size=16, mean=[0.0], std=[1.0]) for _ in range(2)
    )
    nets = Nets(encoder=encoder, teacher=copy.deepcopy(encoder), motion=other)
    nets.freeze_bn_stats()
    synchronise_batch_norm(nets)
    nets.eval()
    nets.train()
    modes = {
        name: {layer.training for layer in batch_norms(part)}
        for name, part in nets.named_children()
    }
    assert modes == {"encoder": {False}, "teacher": {False}, "motion": {True}}


def rates(**settings):
    nets = build_nets(lw.prepare(pictures(), method="simclr", batch_size=16, **settings))
    return {
        nets.learning_rate_scales.get(name, 1.0)
        for name, _ in nets.encoder.named_parameters(prefix="encoder")
    }


def test_an_encoder_that_starts_from_weights_learns_at_a_tenth_of_the_rate(start):
    path = str(start.folder.path)
    assert rates() == {1.0}
    assert rates(from_run=path) == {0.1}
    assert rates(from_run=path, encoder_lr_scale=0.5) == {0.5}
    assert rates(from_run=path, adapt="last:1") == {1.0}
    with pytest.raises(lw.LikewiseError, match="--encoder-lr-scale"):
        rates(from_run=path, encoder_lr_scale=0)
