"""The quality of guesses, on networks whose guesses are known."""

import dataclasses

import pytest
import torch

from likewise.claims.pseudo_labels import next_steps, pseudo_label_quality
from likewise.data.batch import Pixels
from likewise.data.images import InMemoryImages
from likewise.data.loader import Loader
from likewise.encoders import build_encoder
from likewise.encoders.encoder_settings import EncoderSettings
from likewise.methods.method import Progress
from likewise.randomness import generator, seed_networks
from methods.fixtures import method

CLASSES, COUNT, SIDE = 4, 64, 12
TRUE = torch.arange(COUNT) % CLASSES
HIDDEN = torch.where(torch.arange(COUNT) < 8, TRUE, -1)


def trained(name="comatch", **changes):
    """A rule, its networks and a loader of images of which each class has a tone of its own."""
    rule = dataclasses.replace(method(name), **changes)
    tones = (TRUE[:, None, None, None] * 60 + 30 + torch.zeros(COUNT, 1, SIDE, SIDE)).to(
        torch.uint8
    )
    images = InMemoryImages(Pixels(tones, torch.ones(COUNT)))
    seed_networks(0)
    nets = rule.build(build_encoder(EncoderSettings("conv4", SIDE, (0.4,), (0.3,))), CLASSES)
    return rule, nets, Loader(images, HIDDEN, 16, seed=5, support=rule.support)


def test_quality_is_that_of_the_steps_own_targets():
    rule, nets, loader = trained(graph_threshold=0.25)
    nets.queue.pushed.fill_(16)
    nets.queue.probabilities.copy_(torch.eye(4)[torch.arange(16) % 4])
    found = pseudo_label_quality(rule, nets, loader, TRUE, first=7, count=3)
    right, smooth, concat, edges = 0, 0, 0, 0
    for step in (7, 8, 9):
        batch = loader.batch(step)
        with torch.no_grad():
            kept = rule.step(nets, batch, Progress(step, 100, seed=5)).memory_updates
        targets, true = kept["targets"], TRUE[batch.indices]
        right += sum(
            int(prediction.argmax()) == label
            for prediction, label in zip(kept["probabilities"], true, strict=False)
        )
        smooth += sum(
            int(prediction.argmax()) == label
            for prediction, label in zip(targets, true, strict=True)
        )
        for i in range(16):
            for j in range(16):
                if i != j and targets[i] @ targets[j] >= 0.25:
                    edges, concat = edges + 1, concat + int(true[i] == true[j])
    assert 0 < edges == found.edges
    assert found[:3] == pytest.approx((int(right) / 48, int(smooth) / 48, concat / edges))


def test_without_an_edge_there_is_no_precision():
    rule, nets, loader = trained(graph_threshold=1.0)
    assert pseudo_label_quality(rule, nets, loader, TRUE, first=0, count=1)[2:] == (0.0, 0)


def test_networks_and_hidden_labels_stay_as_they_are():
    rule, nets, loader = trained()
    before = {key: value.clone() for key, value in nets.state_dict().items()}
    pseudo_label_quality(rule, nets.eval(), loader, TRUE, first=0, count=2)
    assert all(torch.equal(value, before[key]) for key, value in nets.state_dict().items())
    assert not nets.training and torch.equal(loader.labels, HIDDEN)


@pytest.mark.parametrize("name", ["fixmatch", "paws"])
def test_the_next_steps_of_any_method_can_be_looked_at(name):
    rule, nets, loader = trained(name)
    seen = list(next_steps(rule, nets, loader, 3, 2, generator(0).device))
    assert [batch.size for batch, _ in seen] == [16, 16]
    assert all(bool(step.loss.isfinite()) and not step.loss.requires_grad for _, step in seen)
    assert seen[0][1].loss != seen[1][1].loss
