"""Contrastive losses against naive loops, published reference values, and each other."""

import math

import pytest
import torch
import torch.nn.functional as F

from likewise.losses import LossInputError, info_nce, nt_xent, queue_nce, suncet, sup_con
from losses.vectors import LABELS, QUEUE, ZA, ZB, Z, raw, unit


def naive(queries, keys, query_id, key_id, temperature, self_index, kind):
    """The docstring's formula, one term at a time."""
    total, valid = 0.0, 0
    for i in range(len(queries)):
        compared = [a for a in range(len(keys)) if self_index is None or a != self_index[i]]
        positive = [a for a in compared if query_id[i] == key_id[a] != -1]
        if not positive:
            continue
        valid += 1
        all_logsumexp = sum(math.exp(float(queries[i] @ keys[a]) / temperature) for a in compared)
        chances = [
            math.exp(float(queries[i] @ keys[p]) / temperature) / all_logsumexp for p in positive
        ]
        if kind == "out":
            total -= sum(math.log(c) for c in chances) / len(positive)
        elif kind == "in":
            total -= math.log(sum(chances) / len(positive))
        else:
            total -= math.log(sum(chances))
    return total / valid


@pytest.mark.parametrize("kind", ["out", "in", "nca"])
@pytest.mark.parametrize("rectangular", [False, True])
def test_info_nce_is_the_formula(kind, rectangular):
    torch.manual_seed(3)
    queries = unit(torch.randn(7, 5, dtype=torch.float64))
    keys = unit(torch.randn(11, 5, dtype=torch.float64)) if rectangular else queries
    query_id = torch.tensor([0, 1, 1, 2, -1, 0, 5])
    key_id = torch.tensor([0, 1, 1, 2, -1, 0, 7, -1, 2, 2, 1]) if rectangular else query_id
    self_index = torch.tensor([3, -1, 0, 8, 2, 1, 1]) if rectangular else torch.arange(7)
    ours = info_nce(queries, keys, query_id, key_id, 0.2, self_index, kind)
    assert float(ours) == pytest.approx(
        naive(queries, keys, query_id, key_id, 0.2, self_index, kind), rel=1e-12
    )


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (lambda: nt_xent(ZA, ZB, 0.1), 0.9939392178689761),
        (lambda: nt_xent(ZA, ZB, 0.5), 1.2774782133990934),
        (lambda: sup_con(Z, LABELS, 0.1), 2.666251877894135),
        (lambda: sup_con(Z, LABELS, 0.5), 1.6119407454041252),
        (lambda: sup_con(Z, LABELS, 0.1, "in"), 1.4197552244657197),
        (lambda: sup_con(Z, LABELS, 0.5, "in"), 1.5234009412328202),
        (lambda: suncet(Z, LABELS, 0.1), 0.3211429357976099),
        (lambda: suncet(Z, LABELS, 0.5), 0.42478865256471054),
        (
            lambda: sup_con(ZA, torch.tensor([0, 1, 1, 2]), 0.1, reduction="all"),
            0.15003347061691796,
        ),
        (lambda: sup_con(ZA, torch.tensor([0, 1, 1, 2]), 0.1), 0.3000669412338359),
        (lambda: queue_nce(ZA, ZB, QUEUE, 0.2), 0.5302592503927438),
    ],
)
def test_reference_values(loss, value):
    """Computed by the authors' own functions on the same inputs, in float64."""
    assert float(loss()) == pytest.approx(value, rel=1e-12)


def gradient(loss, rows):
    rows = rows.clone().requires_grad_()
    loss(rows).backward()
    return rows.grad.flatten()


def test_reference_gradients():
    rows = torch.cat([raw(4, 3, 0), raw(4, 3, 0.5)])
    out = gradient(lambda z: sup_con(z, LABELS, 0.1), rows)
    inside = gradient(lambda z: sup_con(z, LABELS, 0.1, "in"), rows)
    assert out.norm().item() == pytest.approx(2.5376, abs=5e-5)
    assert inside.norm().item() == pytest.approx(1.1352, abs=5e-5)
    assert F.cosine_similarity(out, inside, dim=0).item() == pytest.approx(0.7404, abs=5e-5)


def test_detached_keys_lose_half_of_the_gradient():
    full = gradient(lambda z: nt_xent(*z.chunk(2), 0.1), Z)
    detached = gradient(lambda z: nt_xent(*z.chunk(2), 0.1, detach_keys=True), Z)
    assert (detached.norm() / full.norm()).item() == pytest.approx(0.5486, abs=5e-5)
    assert F.cosine_similarity(full, detached, dim=0).item() == pytest.approx(0.9520, abs=5e-5)


@pytest.mark.parametrize("kind", ["out", "in", "nca"])
def test_gradients_by_finite_differences(kind):
    ids = torch.tensor([0, 1, 0, 1, -1, 4])

    def loss(z):
        unit_z = F.normalize(z, dim=1)
        return info_nce(unit_z, unit_z, ids, ids, 0.3, torch.arange(6), kind)

    torch.manual_seed(0)
    assert torch.autograd.gradcheck(
        loss, torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    )


def test_one_positive_each_makes_the_three_kinds_equal():
    ids = torch.arange(4).repeat(2)
    self_index = torch.arange(8)
    values = {
        float(info_nce(Z, Z, ids, ids, 0.2, self_index, kind)) for kind in ("out", "in", "nca")
    }
    assert max(values) - min(values) < 1e-12


def test_suncet_is_l_in_less_log_of_positives():
    difference = sup_con(Z, LABELS, 0.1, "in") - suncet(Z, LABELS, 0.1)
    assert float(difference) == pytest.approx(math.log(3), rel=1e-12)


def test_views_and_flat_rows_agree():
    stacked = torch.stack([ZA, ZB], dim=1)
    assert float(sup_con(stacked, LABELS[:4], 0.1)) == pytest.approx(
        float(sup_con(Z, LABELS, 0.1)), rel=1e-12
    )


def test_without_labels_sup_con_is_simclr():
    stacked = torch.stack([ZA, ZB], dim=1)
    assert float(sup_con(stacked, torch.full((4,), -1), 0.1)) == pytest.approx(
        float(nt_xent(ZA, ZB, 0.1)), rel=1e-12
    )


def test_chance_level_is_log_of_candidates():
    torch.manual_seed(0)
    first, second = torch.randn(2, 256, 512, dtype=torch.float64)
    assert float(nt_xent(first, second, 1.0)) == pytest.approx(math.log(511), abs=0.05)


def test_unlabelled_rows_are_negatives_and_no_class():
    """-1 is not a class: two unlabelled rows are not positives, and removing their label changes the loss."""
    labels = torch.tensor([0, 0, -1, -1, 1, 1, -1, -1])
    expected = naive(Z, Z, labels, labels, 0.1, torch.arange(8), "out")
    assert float(sup_con(Z, labels, 0.1)) == pytest.approx(expected, rel=1e-12)
    assert (
        abs(float(sup_con(Z, labels, 0.1)) - float(sup_con(Z, labels.where(labels >= 0, 9), 0.1)))
        > 0.1
    )


@pytest.mark.parametrize("kind", ["out", "in", "nca"])
def test_row_without_positive_gets_no_pull_and_finite_gradient(kind):
    labels = torch.tensor([0, 0, 1, 2, 2])
    z = raw(5, 3, 0.3).requires_grad_()
    unit_z = F.normalize(z, dim=1)
    info_nce(unit_z, unit_z, labels, labels, 0.1, torch.arange(5), kind).backward()
    assert torch.isfinite(z.grad).all()
    expected = naive(unit_z.detach(), unit_z.detach(), labels, labels, 0.1, torch.arange(5), kind)
    again = info_nce(unit_z, unit_z, labels, labels, 0.1, torch.arange(5), kind)
    assert float(again.detach()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "word"),
    [
        (lambda: sup_con(ZA, torch.arange(4)), "None of the 4 queries has a positive"),
        (lambda: sup_con(ZA, torch.full((4,), -1)), "None of the 4 queries has a positive"),
        (lambda: nt_xent(ZA[:1], ZB[:1]), "nothing to push apart"),
        (lambda: suncet(ZA, torch.zeros(4, dtype=torch.int64)), "nothing to push apart"),
        (
            lambda: sup_con(ZA, torch.zeros(4, dtype=torch.int64), kind="in"),
            "nothing to push apart",
        ),
        (lambda: sup_con(ZA, torch.zeros(3, dtype=torch.int64)), "4 whole numbers"),
        (lambda: sup_con(ZA, ["cat", "dog", "cat", "dog"]), "class names into numbers"),
        (lambda: sup_con(ZA, torch.zeros(4)), "whole numbers"),
        (lambda: nt_xent(ZA, ZB[:3]), r"second.*\(3, 3\)"),
        (lambda: nt_xent(ZA, ZB, 0.0), "temperature"),
        (lambda: queue_nce(ZA, ZB, QUEUE[:0], 0.1), r"queue \(0, 3\)"),
    ],
)
def test_what_cannot_teach_is_refused(loss, word):
    with pytest.raises(LossInputError, match=word):
        loss()


def test_one_class_has_a_gradient_in_the_out_form():
    z = raw(4, 3, 0.1).requires_grad_()
    loss = sup_con(z, torch.zeros(4, dtype=torch.int64), 0.1)
    loss.backward()
    assert float(loss.detach()) >= math.log(3) - 1e-12
    assert z.grad.norm() > 1e-3


def test_nan_in_is_nan_out():
    broken = ZA.clone()
    broken[0, 0] = math.nan
    assert math.isnan(float(nt_xent(broken, ZB)))


def test_unnormalised_and_tiny_temperature_stay_finite():
    z = (raw(6, 4, 0.2) * 1e4).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    info_nce(z, z, labels, labels, 0.001, torch.arange(6)).backward()
    assert torch.isfinite(z.grad).all()
    assert torch.isfinite(sup_con(ZA.float(), LABELS[:4], 0.003))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened_before_the_similarities(dtype):
    first, second = ZA.to(dtype), ZB.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nt_xent(first, second, 0.07)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(
        float(nt_xent(first.double(), second.double(), 0.07)), rel=1e-5
    )


def test_autocast_does_not_round_the_loss():
    first, second = torch.nn.functional.normalize(
        torch.randn(2, 64, 128, generator=torch.Generator().manual_seed(0)), dim=2
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        guarded = nt_xent(first, second, 0.05)
    assert float(guarded) == pytest.approx(float(nt_xent(first, second, 0.05)), rel=1e-6)
