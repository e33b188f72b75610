"""SetSim's loss and matchers against naive loops and the reference values."""

import math

import pytest
import torch

from likewise.errors import LikewiseError
from likewise.losses import LossInputError, set_similarity
from likewise.losses.matched_sets import Matcher, attention, attentive, nearby, nearest
from likewise.randomness import generator
from losses.vectors import QUEUE, ZA, ZB, raw

REFERENCE_MASK = torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]])


def naive_loss(locations, partners, matched, queue, temperature, more=0.0):
    images = []
    for q, k, pairs in zip(locations, partners, matched, strict=True):
        by_place = []
        for u in range(len(q)):
            second = [v for v in range(len(k)) if pairs[u, v]]
            if second:
                all_logsumexp = [(q[u] @ k[v] / temperature).exp() for v in second] + [
                    (q[u] @ n / temperature).exp() for n in queue
                ]
                each = [
                    -((q[u] @ k[v] / temperature).exp() / sum(all_logsumexp)).log() for v in second
                ]
                by_place.append(sum(each) / (len(second) + more))
        images.append(
            sum(by_place) / (len(by_place) + more) if by_place else torch.zeros((), dtype=q.dtype)
        )
    return sum(images) / len(images)


def random_unit(*shape, name):
    rows = torch.randn(*shape, generator=generator(1, name), dtype=torch.float64)
    return torch.nn.functional.normalize(rows, dim=-1)


def test_reference_value():
    """The authors add 1e-8 to every count that they divide by, which the eighth digit shows."""
    given = ZA[None], ZB[None], REFERENCE_MASK[None], QUEUE, 0.2
    assert naive_loss(*given, more=1e-8).item() == pytest.approx(0.6945133390377396, rel=1e-14)
    assert set_similarity(*given).item() == pytest.approx(naive_loss(*given).item(), rel=1e-14)


@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_value_and_gradient_equal_the_naive_loop(share):
    locations, partners = (
        random_unit(3, 5, 4, name="q").requires_grad_(),
        random_unit(3, 6, 4, name="k").requires_grad_(),
    )
    queue = random_unit(7, 4, name="n")
    matched = torch.rand(3, 5, 6, generator=generator(2)) < share
    matched[1] = False  # an image without any pair
    matched[0, 0, 0] = True
    loss = set_similarity(locations, partners, matched, queue, 0.3)
    naive = naive_loss(locations, partners.detach(), matched, queue, 0.3)
    assert loss.item() == pytest.approx(naive.item(), rel=1e-12)
    first, of_partners = torch.autograd.grad(loss, [locations, partners], allow_unused=True)
    (theirs,) = torch.autograd.grad(naive, locations)
    torch.testing.assert_close(first, theirs, rtol=1e-10, atol=1e-12)
    assert first[1].abs().sum() == 0 and of_partners is None


def test_no_pair_at_all_is_zero_with_a_gradient_of_zero():
    locations = random_unit(2, 3, 4, name="q").requires_grad_()
    loss = set_similarity(
        locations, locations.detach(), torch.zeros(2, 3, 3), QUEUE.new_ones(2, 4), 0.2
    )
    loss.backward()
    assert loss.item() == 0 and locations.grad is not None and locations.grad.abs().sum() == 0


def test_one_partner_each_is_moco_of_every_place():
    from likewise.losses import queue_nce

    pairs = torch.eye(4)[None]
    loss = set_similarity(ZA[None], ZB[None], pairs, QUEUE, 0.2)
    assert loss.item() == pytest.approx(queue_nce(ZA, ZB, QUEUE, 0.2).item(), rel=1e-12)


@pytest.mark.parametrize(
    ("pairs", "queue", "temperature", "said"),
    [
        (torch.ones(1, 3, 4), QUEUE, 0.2, r"matched.*\(1, 3, 4\)"),
        (torch.ones(1, 4, 4), QUEUE[:0], 0.2, r"queue \(0, 3\)"),
        (torch.ones(1, 4, 4), QUEUE, 0.0, "temperature"),
    ],
)
def test_what_cannot_be_used_is_refused(pairs, queue, temperature, said):
    with pytest.raises(LossInputError, match=said):
        set_similarity(ZA[None], ZB[None], pairs, queue, temperature)


def test_attention_and_mask_have_the_reference_values():
    first, second = raw(4, 4, 0.3)[None], raw(4, 4, 0.8)[None]
    expected = torch.tensor(
        [
            [0.9999999993, 0.0278025422, 0, 0.1597371636],
            [0.9999999992, 0, 0.6343488985, 0.5390474081],
        ],
        dtype=torch.float64,
    )
    found = torch.cat([attention(first), attention(second)])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert torch.equal(attentive(first, second, 0.1, 0.2)[0].long(), REFERENCE_MASK)


def test_attention_of_a_constant_map_is_zero():
    assert attention(torch.ones(1, 9, 3)).tolist() == [[0] * 9]
    assert attention(torch.zeros(1, 9, 3)).tolist() == [[0] * 9]


def naive_nearby(first, second, side, aspect, within):
    """Pixel by pixel: where a cell's centre lies in an image of aspect x 1, and how long its diagonal is."""

    def cells(box):
        (a, _, across), (_, d, down) = box.tolist()
        centres = []
        for row in range(side):
            for column in range(side):
                x, y = (2 * column + 1) / side - 1, (2 * row + 1) / side - 1
                centres.append(((a * x + across) * aspect, d * y + down))
        return centres, math.hypot(2 * a * aspect / side, 2 * d / side)

    (first, mine_long), (second, its_long) = cells(first), cells(second)
    longest = max(mine_long, its_long)
    return [[math.dist(u, v) / longest < within for v in second] for u in first]


@pytest.mark.parametrize("side", [1, 4, 7])
@pytest.mark.parametrize("aspect", [1.0, 4 / 3, 0.4])
def test_nearby_equals_the_naive_geometry_flips_included(side, aspect):
    boxes = torch.tensor(
        [
            [[[0.5, 0, -0.3], [0, 0.6, 0.2]], [[-0.7, 0, -0.1], [0, 0.4, 0.1]]],
            [[[1.0, 0, 0.0], [0, 1.0, 0.0]], [[-1.0, 0, 0.0], [0, 1.0, 0.0]]],
            [[[0.2, 0, -0.8], [0, 0.2, -0.8]], [[0.2, 0, 0.8], [0, 0.2, 0.8]]],
        ],
        dtype=torch.float64,
    )
    found = nearby(boxes[:, 0], boxes[:, 1], side, torch.full((3,), aspect), 0.47)
    for row, (first, second) in enumerate(boxes):
        assert found[row].tolist() == naive_nearby(first, second, side, aspect, 0.47)
    assert not found[2].any()


def test_a_mirrored_view_matches_its_mirrored_places():
    box = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0]]])
    mirrored = torch.tensor([[[-1.0, 0, 0], [0, 1.0, 0]]])
    pairs = nearby(box, mirrored, 3, torch.ones(1), 0.5)[0]
    assert pairs.long().argmax(dim=1).tolist() == [2, 1, 0, 5, 4, 3, 8, 7, 6]
    assert pairs.sum() == 9


def test_nearest_is_the_most_similar_place():
    first, second = random_unit(2, 3, 4, name="a") * 3, random_unit(2, 5, 4, name="b") * 0.1
    pairs = nearest(first, second)
    for b in range(2):
        for u in range(3):
            cosines = [
                torch.cosine_similarity(first[b, u], second[b, v], dim=0).item() for v in range(5)
            ]
            assert pairs[b, u].tolist() == [cosine == max(cosines) for cosine in cosines]


def pairs_of(**settings):
    features = random_unit(2, 9, 4, name="f").relu(), random_unit(2, 9, 4, name="g").relu()
    boxes = torch.eye(2, 3)[None].expand(2, -1, -1), torch.eye(2, 3)[None].expand(2, -1, -1)
    settings = {"attention_above": 0.3, **settings}
    return Matcher(**settings)(*features, boxes, torch.ones(2)), features


def test_the_paper_adds_the_nearest_place_to_those_that_have_a_partner():
    attention_alone, features = pairs_of(nearest=False)
    paper, _ = pairs_of()
    matched = attention_alone.any(dim=2)
    assert 0 < matched.sum() < matched.numel()
    assert torch.equal(paper.any(dim=2), matched)
    assert torch.equal(paper[matched], (attention_alone | nearest(*features))[matched])


def test_presets_and_flags():
    geometry, _ = pairs_of(attention=False, nearest=False, geometry=True)
    assert torch.equal(geometry, torch.eye(9, dtype=torch.bool).expand(2, 9, 9))
    attention_alone, features = pairs_of(nearest=False)
    assert torch.equal(pairs_of(nearest=False, geometry=True)[0], attention_alone | geometry)
    assert torch.equal(pairs_of(attention=False)[0], nearest(*features))
    with pytest.raises(LikewiseError, match=r"attention.*nearest.*geometry"):
        Matcher(attention=False, nearest=False)
