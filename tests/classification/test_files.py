"""A stored classifier is the one that was stored."""

import pytest
import torch
from torch import nn

from likewise.classification import (
    Classifier,
    Reference,
    load_classifier,
    load_reference,
    save_classifier,
)
from likewise.encoders import build_encoder, choose_encoder, load_encoder, save_encoder
from likewise.errors import LikewiseError
from likewise.json_files import write_json
from likewise.run_folder import RunFolder


def made(temperature=2.0):
    settings = choose_encoder("conv4", 16, (0.5,) * 3, (0.25,) * 3)
    encoder = build_encoder(settings).eval()
    classifier = Classifier(
        encoder, nn.Linear(encoder.width, 3), temperature, ("a", "b", "c")
    ).eval()
    features = torch.randn(40, encoder.width)
    reference = Reference.of(
        features, torch.randn(40, 3), torch.arange(40) % 3, temperature, {"labels": 40}
    )
    return classifier, settings, reference


def test_comes_back_with_names_temperature_and_reference(tmp_path):
    classifier, settings, reference = made()
    save_classifier(classifier, settings, reference, tmp_path)
    loaded, again = load_classifier(tmp_path), load_reference(tmp_path)
    pixels = torch.rand(2, 3, 16, 16)
    assert torch.equal(loaded(pixels), classifier(pixels))
    assert torch.equal(classifier(pixels) * 2, classifier.head(classifier.encoder(pixels)))
    assert loaded.class_names == ("a", "b", "c") and again.protocol == {"labels": 40}
    assert torch.equal(again.correct, reference.correct) and torch.equal(
        again.confidence, reference.confidence
    )
    assert again.distance_limit == reference.distance_limit
    torch.testing.assert_close(again.vectors, reference.vectors, atol=1e-3, rtol=0)


def test_an_encoder_that_is_not_the_runs_is_stored_beside_it(tmp_path):
    classifier, settings, reference = made()
    of_the_run = build_encoder(settings).eval()
    save_encoder(of_the_run, settings, tmp_path)
    write_json(RunFolder(tmp_path).config, {})
    save_classifier(classifier, settings, reference, tmp_path)
    pixels = torch.rand(2, 3, 16, 16)
    assert torch.equal(load_classifier(tmp_path)(pixels), classifier(pixels))
    assert torch.equal(load_encoder(tmp_path)[0](pixels), of_the_run(pixels))


def test_a_folder_that_is_no_run_takes_the_encoder_of_the_newest(tmp_path):
    for classifier, settings, reference in (made(), made()):
        save_classifier(classifier, settings, reference, tmp_path)
    pixels = torch.rand(2, 3, 16, 16)
    assert torch.equal(load_encoder(tmp_path)[0](pixels), classifier.encoder(pixels))


def test_a_folder_without_a_classifier_and_another_head_are_refused(tmp_path):
    classifier, settings, reference = made()
    with pytest.raises(LikewiseError, match="--labels"):
        load_classifier(tmp_path)
    classifier.head = nn.Sequential(classifier.head)
    with pytest.raises(LikewiseError, match="Sequential"):
        save_classifier(classifier, settings, reference, tmp_path)
    with pytest.raises(LikewiseError, match="temperature=0"):
        Classifier(classifier.encoder, classifier.head, 0.0, ("a",))
