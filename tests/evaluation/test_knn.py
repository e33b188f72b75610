"""Nearest neighbours against a double loop, with ties, short banks and rows that may not vote."""

import math

import pytest
import torch

from likewise.errors import LikewiseError
from likewise.evaluation.metrics import knn as knn_module
from likewise.evaluation.metrics.knn import Knn, nearest
from likewise.evaluation.statistics.scores import Features


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_loops(bank: Features, vectors: torch.Tensor, k: int, temperature: float) -> list[int]:
    """Wu et al. 2018, section 3.4, one image and one neighbour at a time, in Python floats."""
    answers = []
    for vector in vectors.tolist():
        scored = []
        for place, (row, label) in enumerate(
            zip(bank.vectors.tolist(), bank.labels.tolist(), strict=True)
        ):
            if label < 0:
                continue
            lengths = math.sqrt(sum(a * a for a in vector)) * math.sqrt(sum(a * a for a in row))
            dot = sum(a * b for a, b in zip(vector, row, strict=True))
            scored.append((-dot / lengths if lengths else 0.0, place, label))
        votes: dict[int, float] = {}
        for negative, _, label in sorted(scored)[:k]:
            votes[label] = votes.get(label, 0.0) + math.exp(-negative / temperature)
        answers.append(min(votes, key=lambda label: (-votes[label], label)))
    return answers


@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_equals_a_double_loop(k, temperature):
    labels = torch.randint(-1, 4, (60,), generator=torch.Generator().manual_seed(1))
    bank, queries = Features(noise(60, 7) * 5, labels), noise(40, 7, seed=2)
    assert Knn(k, temperature).predict(bank, queries).tolist() == by_loops(
        bank, queries, k, temperature
    )


def test_a_bank_cut_into_chunks_gives_the_same_neighbours(monkeypatch):
    bank, queries = noise(200, 6), noise(30, 6, seed=1)
    similarity, place = nearest(queries, bank, 9)
    monkeypatch.setattr(knn_module, "ROWS", 7)
    in_chunks = nearest(queries, bank, 9)
    assert torch.equal(in_chunks[1], place)
    assert torch.allclose(in_chunks[0], similarity)


@pytest.mark.parametrize("rows", [16384, 5])
def test_equally_near_images_are_taken_in_bank_order(monkeypatch, rows):
    monkeypatch.setattr(knn_module, "ROWS", rows)
    # Whole numbers, so that equal similarities are equal to the last bit.
    bank = torch.randint(0, 2, (64, 3), generator=torch.Generator().manual_seed(0)).float()
    queries = torch.eye(3)
    expected = [
        sorted(range(64), key=lambda row: (-float(query @ bank[row]), row))[:11]
        for query in queries
    ]
    assert nearest(queries, bank, 11)[1].tolist() == expected


def test_equal_votes_go_to_the_lower_class():
    bank = Features(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([3, 1]))
    assert Knn(k=2).predict(bank, torch.tensor([[1.0, 0.0]])).tolist() == [1]


def test_a_bank_smaller_than_k_votes_in_full_and_says_so():
    bank = Features(noise(6, 4), torch.tensor([0, 1, 0, 1, -1, -1]))
    outcome = Knn(k=20).evaluate(bank, Features(noise(3, 4, seed=1), torch.tensor([0, 1, -1])))
    assert outcome.predictions.tolist() == by_loops(bank, noise(3, 4, seed=1), 4, 0.07)
    assert outcome.score.protocol["k"] == 4 and outcome.score.protocol["k_requested"] == 20
    assert outcome.score.count == 2


def test_hidden_labels_do_not_vote():
    queries = noise(20, 4, seed=3)
    bank = Features(
        torch.cat([queries, noise(10, 4)]), torch.cat([torch.full((20,), -1), torch.arange(10) % 2])
    )
    only = Features(bank.vectors[20:], bank.labels[20:])
    assert torch.equal(Knn(3).predict(bank, queries), Knn(3).predict(only, queries))


def test_sharp_temperatures_do_not_overflow():
    bank = Features(noise(10, 4), torch.arange(10) % 3)
    queries = noise(5, 4, seed=1)
    assert torch.equal(Knn(5, 1e-4).predict(bank, queries), Knn(1).predict(bank, queries))


def test_zero_vectors_are_equally_far_from_everything():
    bank = Features(torch.cat([torch.zeros(1, 3), noise(4, 3)]), torch.tensor([2, 0, 0, 1, 1]))
    assert Knn(k=1).predict(bank, torch.zeros(1, 3)).tolist() == [2]


def test_one_class_and_one_image_are_defined():
    outcome = Knn().evaluate(
        Features(noise(1, 4), torch.tensor([5])), Features(noise(1, 4, seed=1), torch.tensor([5]))
    )
    assert outcome.predictions.tolist() == [5]
    assert (outcome.score.value, outcome.score.count) == (1.0, 1)


def test_refusals_say_what_to_do():
    bank = Features(noise(4, 3), torch.arange(4) % 2)
    with pytest.raises(LikewiseError, match=r"4 training.*--labels"):
        Knn().predict(Features(bank.vectors, torch.full((4,), -1)), noise(1, 3))
    with pytest.raises(LikewiseError, match=r"1 test.*--labels"):
        Knn().evaluate(bank, Features(noise(1, 3), torch.tensor([-1])))
    with pytest.raises(LikewiseError, match=r"1 of 1 test.*--precision"):
        Knn().predict(bank, torch.full((1, 3), math.nan))
    with pytest.raises(LikewiseError, match=r"Knn\(0"):
        Knn(k=0)
