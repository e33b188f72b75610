"""Votes of adapted encoders, the student that learns them, and classifiers that start from class prototypes."""

import pytest
import torch

from adaptation.coloured import coloured_images, encoder_of, only_first
from likewise.adaptation import adapt, ensemble_pseudo_labels, prototype_classifier
from likewise.adaptation.ensemble import predictions
from likewise.adaptation.prototypes import set_classifiers
from likewise.adaptation.soft_targets import SoftTargets, TargetTable
from likewise.data.batch import Batch
from likewise.methods import METHODS, Progress, Recipe
from likewise.views.policies import identity


@pytest.fixture(scope="module")
def found():
    images, labels = coloured_images(30)
    shown = only_first(labels, 21)
    shown[0] = 1  # a label that no voter agrees with
    settings = {"steps": 3, "batch_size": 9}
    return (
        images,
        labels,
        shown,
        ensemble_pseudo_labels(
            encoder_of("conv4"), images, shown, 3, ("last:1", "full", "frozen"), **settings
        ),
    )


def test_each_voter_has_one_vote_and_labels_are_kept(found):
    images, _, shown, ensemble = found
    votes = torch.stack(
        [predictions(voter, images, 32, "cpu").argmax(dim=1) for voter in ensemble.voters]
    )
    for row in range(len(images)):
        expected = [float((votes[:, row] == number).float().mean()) for number in range(3)]
        if shown[row] >= 0:
            expected = [float(shown[row] == number) for number in range(3)]
        assert ensemble.pseudo_labels[row].tolist() == pytest.approx(expected)


def test_the_student_learns_the_pseudo_labels(found):
    images, labels, _, ensemble = found
    right = predictions(ensemble.student, images, 32, "cpu").argmax(dim=1) == labels
    assert ensemble.student.steps == 6 and right.float().mean() > 0.8


def test_a_recipe_is_that_of_the_adaptation_with_its_name():
    images, labels = coloured_images(30)
    encoder = encoder_of("conv4")
    ensemble = ensemble_pseudo_labels(
        encoder, images, labels, 3, ("full", "last:1"), "frozen", steps=1, batch_size=9,
        recipes={"full": Recipe("sgd", learning_rate=0.0)},
    )  # fmt: skip
    start = encoder.state_dict()
    changed = []
    for voter in ensemble.voters:
        weights = voter.encoder.state_dict()
        changed.append(any(not torch.equal(weights[name], start[name]) for name in start))
    assert changed == [False, True]


def test_targets_are_learned_instead_of_labels():
    images, labels = coloured_images(30)
    swapped = torch.eye(3)[(labels + 1) % 3]
    adapted = adapt(
        encoder_of("conv4"), images, labels, 3, "full", steps=30, batch_size=30, targets=swapped
    )
    predicted = predictions(adapted, images, 32, "cpu").argmax(dim=1)
    assert ((predicted == (labels + 1) % 3).float().mean()) > 0.9


def test_soft_targets_are_those_of_the_images_in_the_batch_also_when_repeated():
    method = SoftTargets(views=identity(32))
    nets = method.build(encoder_of("conv4"), 3)
    nets.targets = TargetTable(torch.eye(3)[[2, 0, 1, 1]])
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    batch = Batch.of(pixels, indices=torch.tensor([0, 5, 3]))
    outputs = method.embed(nets, batch, Progress(0, 1, 0))
    assert outputs["targets"].argmax(dim=1).tolist() == [2, 0, 1]
    loss = method.compute_loss(nets, outputs, Progress(0, 1, 0)).loss.detach()
    # The classifier is zero at first.
    assert float(loss) == pytest.approx(float(torch.tensor(3.0).log()))


def test_classifiers_of_student_and_teacher_start_from_class_means():
    start = prototype_classifier(torch.randn(12, 256), torch.arange(12) % 3, 3)
    nets = METHODS["fixmatch"]().build(encoder_of("conv4"), 3)
    assert set_classifiers(nets, start)
    for classifier in (nets.classifier, nets.teacher.classifier):
        assert torch.equal(classifier.weight, start.weight) and torch.equal(
            classifier.bias, start.bias
        )
    assert not set_classifiers(METHODS["simclr"]().build(encoder_of("conv4"), 3), start)
