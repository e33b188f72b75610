"""Which labels an advice sees, and what it refuses."""

import numpy as np
import pytest
import torch

from likewise.advice.opened_data import open_labelled
from likewise.errors import LikewiseError


def test_labels_that_are_not_shown_are_not_there(clothes):
    images, labels = clothes
    found = open_labelled((images, labels), labels=10)
    assert torch.bincount(found.labels[found.labelled]).tolist() == [10, 10, 10]
    assert torch.equal(found.manifest.labels >= 0, found.labels >= 0)


def test_a_test_part_is_left_out_altogether(clothes):
    images, labels = clothes
    parts = {"train": (images[::2], labels[::2]), "test": (images[1::2], labels[1::2])}
    found = open_labelled(parts)
    assert len(found.labels) == 60
    assert any("60" in note for note in found.notes)


def test_classes_without_a_label_are_not_among_the_answers(clothes):
    images, labels = clothes
    shown = np.where(labels.numpy() == 1, -1, labels.numpy())
    found = open_labelled(images, labels=shown)
    assert found.classes == 2
    assert set(found.labels.unique().tolist()) == {-1, 0, 1}


@pytest.mark.parametrize("labels", ["all", "none"])
def test_no_labels_are_refused_with_what_to_type(clothes, labels):
    data = clothes if labels == "none" else clothes[0]
    with pytest.raises(LikewiseError, match=r"--labels labels\.csv"):
        open_labelled(data, labels=labels)


def test_one_class_is_refused_by_name(clothes):
    images, labels = clothes
    with pytest.raises(LikewiseError, match="one class"):
        open_labelled((images[:40], labels[:40]))


def test_some_of_the_images_are_taken_with_a_note(clothes):
    images, labels = clothes
    found = open_labelled((images, labels))
    some = found.take(torch.arange(0, 120, 3))
    assert len(some.labels) == len(some.manifest) == 40
    assert torch.equal(some.labels, found.labels[::3])
    assert len(some.notes) == len(found.notes) + 1


def test_several_classes_an_image_are_refused_with_what_to_do_instead(clothes):
    images, _ = clothes
    several = np.arange(240).reshape(120, 2) % 2
    with pytest.raises(LikewiseError, match="likewise train"):
        open_labelled((images, several))
