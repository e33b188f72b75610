"""Decompositions of matrices that are not large keep to one thread, whatever else may use more."""

from functools import partial

import pytest
import torch

from likewise.classification import discriminant_head, fit_head
from likewise.evaluation.metrics import threads
from likewise.evaluation.metrics.label_free import effective_rank

NAMES = ("eigh", "eigvalsh", "svd")


@pytest.fixture
def used(monkeypatch):
    """Threads of each decomposition of more than ten rows, where PyTorch has two."""
    found = []

    def noting(original, matrix, **settings):
        if min(matrix.shape) > 10:
            found.append(torch.get_num_threads())
        return original(matrix, **settings)

    for name in NAMES:
        monkeypatch.setattr(torch.linalg, name, partial(noting, getattr(torch.linalg, name)))
    monkeypatch.setattr(threads, "SHORT", 0)  # products are long enough for two threads
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield found
    torch.set_num_threads(before)


def features(rows, width):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(0))


def measures(rows, width):
    vectors, labels = features(rows, width), torch.arange(rows) % 3
    fit_head(vectors, labels, 3)
    discriminant_head(vectors, labels, 3)
    effective_rank(vectors)


@pytest.mark.parametrize(("rows", "width"), [(40, 60), (60, 40)])
def test_one_thread_decomposes_a_matrix(used, rows, width):
    measures(rows, width)
    assert len(used) > 2
    assert set(used) == {1}


def test_several_threads_decompose_a_large_one(used, monkeypatch):
    monkeypatch.setattr(threads, "LARGE", 20)
    measures(40, 60)
    assert set(used) == {2}
