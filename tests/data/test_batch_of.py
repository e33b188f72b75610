"""Batches made of a user's tensors, and what `likewise.prepare` gives a loop of one's own."""

import pytest
import torch

import likewise as lw


def pixels(count=6, height=8, width=8):
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)


def test_a_batch_without_labels_is_unlabelled():
    batch = lw.data.Batch.of(pixels())
    assert batch.size == 6
    assert batch.labels.tolist() == [lw.data.UNLABELLED] * 6
    assert batch.labels.dtype == torch.int64
    assert batch.support is None


def test_support_and_modalities_travel_with_the_batch():
    support = pixels(4), torch.tensor([0, 0, 1, 1])
    batch = lw.data.Batch.of(pixels(), torch.arange(6), support, modalities={"captions": torch.zeros(6, 3)})
    assert batch.support.labels.tolist() == [0, 0, 1, 1]
    assert [part.size for part in batch.parts(2)] == [3, 3]
    assert batch.parts(2)[0].modalities["captions"].shape == (3, 3)


def test_crops_know_the_shape_of_images_that_are_not_square():
    assert lw.data.Batch.of(pixels(height=8, width=16)).pixels.aspect.tolist() == [2.0] * 6


@pytest.mark.parametrize("images", [torch.rand(6, 3, 8, 8), pixels()[0]])
def test_what_is_no_uint8_batch_is_refused(images):
    with pytest.raises(lw.LikewiseError, match=r"\[B, C, H, W\]"):
        lw.data.Batch.of(images)


def test_labels_of_another_length_are_refused():
    with pytest.raises(lw.LikewiseError, match=r"\[5\]"):
        lw.data.Batch.of(pixels(), torch.arange(5))


def test_prepare_hides_labels_and_sizes_views_as_training_does():
    prepared = lw.prepare("fashion-mnist-mini", labels="4", method="suncet", batch_size=16)
    assert prepared.visible_labels.unique(return_counts=True)[1][1:].tolist() == [4] * 10
    batch = prepared.loader().batch(0)
    assert batch.size == 16
    assert set(batch.support.labels.tolist()) == set(range(10))


def test_prepare_refuses_an_unknown_setting():
    with pytest.raises(lw.LikewiseError, match="batch_size"):
        lw.prepare("fashion-mnist-mini", batchsize=16)
