"""The y-Aware loss against loops, with gradients, and its two kinds of similarity."""

import pytest
import torch

from likewise.losses import LossInputError, y_aware_nce
from likewise.methods.y_aware import YAware, jaccard

Z = [
    torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for seed in (0, 1)
]
SIMILARITY = torch.rand(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
SIMILARITY = (SIMILARITY + SIMILARITY.T) / 2


def by_loops(first, second, similarity, temperature):
    """Row by row and direction by direction."""
    total, count = 0.0, len(first)
    for queries, keys in ((first, second), (second, first)):
        for i in range(count):
            cosines = [
                torch.cosine_similarity(queries[i], keys[j], dim=0) / temperature
                for j in range(count)
            ]
            norm = torch.stack(cosines).exp().sum().log()
            total -= sum(
                similarity[i, j] / similarity[i].sum() * (cosines[j] - norm) for j in range(count)
            )
    return total / (2 * count)


def test_it_is_the_loop_gradient_included():
    found_inputs = [z.clone().requires_grad_() for z in Z]
    expected_inputs = [z.clone().requires_grad_() for z in Z]
    found = y_aware_nce(*found_inputs, SIMILARITY, 0.3)
    expected = by_loops(*expected_inputs, SIMILARITY, 0.3)
    found.backward()
    expected.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-10)
    for one, other in zip(found_inputs, expected_inputs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-8, atol=1e-10)


def test_an_image_that_is_similar_to_itself_alone_makes_info_nce():
    identity = torch.eye(5, dtype=torch.float64)
    rows = [torch.nn.functional.normalize(z, dim=1) for z in Z]
    logits = rows[0] @ rows[1].T / 0.2
    targets = torch.arange(5)
    cross_entropy = torch.nn.functional.cross_entropy
    expected = (cross_entropy(logits, targets) + cross_entropy(logits.T, targets)) / 2
    torch.testing.assert_close(y_aware_nce(*Z, identity, 0.2), expected)


def test_overlap_of_sets_of_classes():
    sets = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]], dtype=torch.bool)
    expected = torch.tensor([
        [1, 0.5, 0, 0, 0], [0.5, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1],
    ])  # fmt: skip
    torch.testing.assert_close(jaccard(sets), expected)


def test_near_numbers_are_more_similar():
    similarity = YAware(bandwidth=2.0)._similarity(torch.tensor([[0.0], [1.0], [4.0]]))
    torch.testing.assert_close(similarity[0], torch.tensor([0.0, -1 / 8, -2.0]).exp())


@pytest.mark.parametrize(
    "shapes", [((5, 4), (4, 4), (5, 5)), ((5, 4), (5, 4), (5, 4)), ((0, 4), (0, 4), (0, 0))]
)
def test_what_does_not_fit_is_refused(shapes):
    with pytest.raises(LossInputError, match=r"similarity|first|second"):
        y_aware_nce(*(torch.ones(shape) for shape in shapes))
