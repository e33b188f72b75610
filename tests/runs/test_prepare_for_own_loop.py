"""What `likewise.prepare` gives a loop of one's own."""

import pytest

import likewise as lw


def test_prepare_hides_labels_and_sizes_views_as_training_does():
    prepared = lw.prepare("fashion-mnist-mini", labels="4", method="suncet", batch_size=16)
    assert prepared.visible_labels.unique(return_counts=True)[1][1:].tolist() == [4] * 10
    batch = prepared.loader().batch(0)
    assert batch.size == 16
    assert set(batch.support.labels.tolist()) == set(range(10))


def test_prepare_refuses_an_unknown_setting():
    with pytest.raises(lw.LikewiseError, match="batch_size"):
        lw.prepare("fashion-mnist-mini", batchsize=16)
