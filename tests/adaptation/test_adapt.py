"""Fine-tuning a copy of an encoder: what it learns, what it leaves, and that it can be repeated."""

import time

import pytest
import torch

from adaptation.coloured import coloured_images, encoder_of, only_first
from likewise.adaptation import adapt
from likewise.errors import LikewiseError
from likewise.evaluation.features import extract
from likewise.views.policies import centre

SHORT = {"steps": 4, "batch_size": 8}


def accuracy(adapted, images, labels):
    features = extract(adapted.encoder, images, torch.arange(len(images)), centre(images.size))
    with torch.no_grad():
        return float((adapted.head(features).argmax(dim=1) == labels).float().mean())


@pytest.mark.parametrize("adaptation", ["frozen", "lora", "last:1", "full"])
def test_a_copy_learns_and_the_encoder_stays(adaptation):
    images, labels = coloured_images()
    encoder = encoder_of("conv4")
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    adapted = adapt(encoder, images, only_first(labels, 12), 3, adaptation, steps=20, batch_size=12)
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert type(adapted.encoder) is type(encoder) and list(adapted.encoder.state_dict()) == list(
        before
    )
    assert accuracy(adapted, images, labels) > 0.9
    changed = any(
        not torch.equal(value, before[key]) for key, value in adapted.encoder.state_dict().items()
    )
    assert changed == (adaptation != "frozen")


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    images, labels = coloured_images()
    shown, encoder = only_first(labels, 9), encoder_of("conv4")
    first, again, other = (
        adapt(encoder, images, shown, 3, "lora", seed=seed, **SHORT) for seed in (0, 0, 1)
    )
    weights = [each.encoder.state_dict()["blocks.0.0.weight"] for each in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert torch.equal(first.head.weight, again.head.weight)


def test_statistics_of_pre_training_stay_unless_they_may_move():
    images, labels = coloured_images()
    encoder = encoder_of("conv4")
    own = encoder.state_dict()["blocks.0.1.running_mean"].clone()
    for frozen in (True, False):
        adapted = adapt(
            encoder, images, only_first(labels, 9), 3, "full", freeze_bn_stats=frozen, **SHORT
        )
        assert torch.equal(adapted.encoder.state_dict()["blocks.0.1.running_mean"], own) == frozen


def test_a_time_limit_reduces_the_steps():
    images, labels = coloured_images()
    begin = time.perf_counter()
    adapted = adapt(
        encoder_of("conv4"), images, labels, 3, "full", steps=10**6, batch_size=8, time_limit=2
    )
    assert 0 < adapted.steps < 10**6
    assert time.perf_counter() - begin < 6  # a busy machine may take long over one step


def test_no_label_and_too_little_time_are_told():
    images, labels = coloured_images()
    with pytest.raises(LikewiseError, match="label"):
        adapt(encoder_of("conv4"), images, only_first(labels, 0), 3, **SHORT)
    hurried = adapt(encoder_of("conv4"), images, labels, 3, "full", time_limit=0, **SHORT)
    # The classifier from class prototypes.
    assert hurried.steps == 0 and accuracy(hurried, images, labels) > 1 / 3
