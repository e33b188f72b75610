"""What a run leaves: whose head, which encoder, and what was held out."""

import pytest
import torch

import likewise as lw
from likewise.classification import load_classifier, load_reference
from likewise.errors import LikewiseError
from likewise.methods.method import classify
from likewise.runs.trained import load_trained

SETTINGS = dict(steps=2, batch_size=32, num_evals=0, encoder="conv4")
PER_CLASS = 12


def images(count=10 * PER_CLASS, classes=3, seed=0):
    """Squares of one grey a class, with noise."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    noise = torch.randint(0, 40, (count, 16, 16), generator=random)
    return (labels.view(-1, 1, 1) * 80 + noise).to(torch.uint8).numpy(), labels.numpy()


def trained(tmp_path, method, labels="all", **more):
    data = images()
    run = lw.train(data, labels=labels, method=method, out=tmp_path / "run", **SETTINGS, **more)
    return run, load_reference(run.folder.path).protocol


@pytest.mark.parametrize("method", ["cross-entropy", "fixmatch"])
def test_a_methods_own_classifier_with_the_encoder_that_it_is_evaluated_by(tmp_path, method):
    more = {} if method == "cross-entropy" else {"labels": "4"}
    run, protocol = trained(tmp_path, method, **more)
    learned = load_trained(run.folder.path)
    classifier, pixels = run.classifier, torch.rand(4, 1, 16, 16)
    expected = classify(learned.method, learned.nets, pixels) / classifier.temperature
    torch.testing.assert_close(classifier(pixels), expected)
    assert protocol["head"] == "trained with the encoder" and protocol["method"] == method
    assert set(protocol["held_out"]) == {"validation split"}
    assert classifier.class_names == learned.class_names


def test_labels_that_trained_the_encoder_are_not_held_out_but_others_are(tmp_path):
    _, by_labels = trained(tmp_path / "supcon", "supcon")
    _, without = trained(tmp_path / "simclr", "simclr")
    assert set(by_labels["held_out"]) == {"validation split"}
    assert without["held_out"] == {"out of fold": without["labels"], **by_labels["held_out"]}


def test_a_run_that_was_shown_few_labels_is_calibrated_on_few(tmp_path):
    _, protocol = trained(tmp_path, "simclr", labels="2")
    assert protocol["labels"] == 6
    assert protocol["held_out"] == {"out of fold": 6, "validation split": 6}


def test_a_run_without_labels_leaves_none_and_says_what_to_do(tmp_path):
    run = lw.train(images()[0], labels="none", method="simclr", out=tmp_path / "run", **SETTINGS)
    assert not run.folder.classifier.exists()
    with pytest.raises(LikewiseError, match="--labels"):
        _ = run.classifier
    with pytest.raises(LikewiseError, match="--labels"):
        load_classifier(run.folder.path)
