"""Targets from guesses, against reference values and naive loops; and that nothing learns through a target."""

import math

import pytest
import torch

from likewise.losses import (
    LossInputError,
    distribution_alignment,
    memory_smoothing,
    pseudo_label_graph,
    soft_cross_entropy,
    soft_nce,
    threshold_pseudo_labels,
)
from losses.vectors import QUEUE, ZA, ZB, raw

WEAK, STRONG = 2 * raw(4, 3, 0.2), 2 * raw(4, 3, 0.9)
BANK_GUESSES = (2 * raw(5, 3, 4)).softmax(dim=1)
NOTHING = torch.zeros(1, 3, dtype=torch.float64), torch.tensor([False])


def targets():
    """The reference's guesses: aligned by their own mean alone, then smoothed."""
    return memory_smoothing(
        distribution_alignment(WEAK.softmax(dim=1), *NOTHING), ZA, QUEUE, BANK_GUESSES, 0.2, 0.9
    )


def test_comatch_reference_guesses_and_edges():
    assert targets()[0].tolist() == pytest.approx(
        [0.3192050767, 0.6293504732, 0.0514444501], abs=1e-10
    )
    edges = (targets() @ targets().T)[torch.triu_indices(4, 4, 1).unbind()]
    reference = [0.3839729007, 0.3072156411, 0.1493573644, 0.3943385112, 0.1910178433, 0.2880889426]
    assert edges.tolist() == pytest.approx(reference, abs=1e-10)


def test_comatch_reference_losses():
    graph = pseudo_label_graph(targets(), 0.35)
    assert (graph > 0).long().tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    # The reference adds 1e-7 to each probability before its logarithm, which moves the seventh digit.
    assert float(soft_nce(ZA, ZB, graph, 0.2)) == pytest.approx(1.0387777043662125, rel=1e-6)
    believed = threshold_pseudo_labels(targets(), 0.6)
    assert (believed.sum(dim=1) > 0).tolist() == [True, False, False, True]
    assert float(soft_cross_entropy(STRONG, believed)) == pytest.approx(
        0.5914992454348366, rel=1e-12
    )


def test_fixmatch_reference_loss():
    believed = threshold_pseudo_labels(WEAK.softmax(dim=1), 0.6, hard=True)
    assert believed.sum(dim=1).tolist() == [1, 1, 1, 1]
    assert float(soft_cross_entropy(STRONG, believed)) == pytest.approx(
        0.3358523012393108, rel=1e-12
    )


def test_hard_targets_by_loops_and_the_gradient_of_their_loss():
    probabilities, threshold = STRONG.softmax(dim=1), 0.75
    logits = WEAK.clone().requires_grad_()
    soft_cross_entropy(
        logits, threshold_pseudo_labels(probabilities, threshold, hard=True)
    ).backward()
    sure = [max(row) >= threshold for row in probabilities.tolist()]
    assert any(sure) and not all(sure)
    for i, row in enumerate(probabilities.tolist()):
        for c, p in enumerate(WEAK[i].softmax(dim=0).tolist()):
            # Over all rows, not those that are sure.
            wanted = sure[i] * (p - (row.index(max(row)) == c)) / 4
            assert float(logits.grad[i, c]) == pytest.approx(wanted, abs=1e-12)


def test_alignment_by_loops():
    probabilities, past_probabilities = WEAK.softmax(dim=1), BANK_GUESSES[:3]
    filled = torch.tensor([True, False, True])
    found = distribution_alignment(probabilities, past_probabilities, filled)
    batch_mean = [sum(row[c] for row in probabilities.tolist()) / 4 for c in range(3)]
    for row, ours in zip(probabilities.tolist(), found.tolist(), strict=True):
        shares = [
            (batch_mean[c] + float(past_probabilities[0, c]) + float(past_probabilities[2, c])) / 3
            for c in range(3)
        ]
        raised = [p / share for p, share in zip(row, shares, strict=True)]
        assert ours == pytest.approx([p / sum(raised) for p in raised], rel=1e-12)


def test_alignment_survives_a_class_that_nobody_guesses():
    found = distribution_alignment(
        torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.5, 0.5]]),
        torch.zeros(2, 3),
        torch.tensor([False, False]),
    )
    assert found[:, 0].tolist() == [0, 0]
    assert found.sum(dim=1).tolist() == pytest.approx([1, 1])


def test_smoothing_by_loops():
    probabilities = STRONG.softmax(dim=1)
    found = memory_smoothing(probabilities, ZB, QUEUE, BANK_GUESSES, 0.3, 0.7)
    for i in range(4):
        weights = [math.exp(float(ZB[i] @ key) / 0.3) for key in QUEUE]
        for c in range(3):
            others = sum(
                w * float(prediction[c])
                for w, prediction in zip(weights, BANK_GUESSES, strict=True)
            ) / sum(weights)
            assert float(found[i, c]) == pytest.approx(
                0.7 * float(probabilities[i, c]) + 0.3 * others, rel=1e-12
            )


@pytest.mark.parametrize(
    "past_probabilities", [None, torch.cat([BANK_GUESSES, torch.zeros(2, 3, dtype=torch.float64)])]
)
def test_agreement_by_loops(past_probabilities):
    probabilities = targets()
    others = probabilities.tolist() + (
        [] if past_probabilities is None else past_probabilities.tolist()
    )
    found = pseudo_label_graph(probabilities, 0.3, past_probabilities)
    assert found.shape == (4, len(others))
    for i, our_own in enumerate(probabilities.tolist()):
        edges = [
            1.0 if i == j else sum(a * b for a, b in zip(our_own, theirs, strict=True))
            for j, theirs in enumerate(others)
        ]
        edges = [edge if edge >= 0.3 else 0.0 for edge in edges]
        assert found[i].tolist() == pytest.approx([edge / sum(edges) for edge in edges], rel=1e-12)
    if past_probabilities is not None:
        assert (found[:, 4:9] > 0).any()
        assert not found[:, 9:].any()  # rows of a memory that is not full yet


def test_alone_in_the_graph_it_is_contrast_with_ones_own_other_view():
    """With only the edge to itself: NT-Xent in one direction across the two views."""
    expected = torch.nn.functional.cross_entropy(ZA @ ZB.T / 0.2, torch.arange(4))
    assert float(soft_nce(ZA, ZB, pseudo_label_graph(targets(), 1.0), 0.2)) == pytest.approx(
        float(expected), rel=1e-12
    )


def test_the_graphs_gradient_flows_to_both_views_and_not_into_the_targets():
    probabilities = targets().requires_grad_()
    strong = ZA.clone().requires_grad_()
    other = ZB.clone().requires_grad_()
    graph = pseudo_label_graph(probabilities, 0.35)
    soft_nce(strong, other, graph, 0.2).backward()
    scores = (ZA @ ZB.T / 0.2).softmax(dim=1) - graph
    torch.testing.assert_close(strong.grad, scores @ ZB / 0.2 / 4)
    torch.testing.assert_close(other.grad, scores.T @ ZA / 0.2 / 4)
    logits = STRONG.clone().requires_grad_()
    believed = threshold_pseudo_labels(probabilities, 0.6)
    soft_cross_entropy(logits, believed).backward()
    mass = believed.sum(dim=1, keepdim=True)  # a row that is not believed pulls nowhere
    torch.testing.assert_close(logits.grad, (mass * STRONG.softmax(dim=1) - believed) / 4)
    assert not logits.grad[1:3].any()
    assert probabilities.grad is None
    rows = [
        distribution_alignment(probabilities, *NOTHING),
        memory_smoothing(probabilities, strong, other, probabilities, 0.2, 0.9),
        believed,
        graph,
    ]
    assert not any(row.requires_grad for row in rows)


def test_targets_leave_mixed_precision():
    probabilities = targets().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = (
            pseudo_label_graph(probabilities, 0.3),
            memory_smoothing(
                probabilities, ZA.float(), QUEUE.float(), BANK_GUESSES.float(), 0.2, 0.9
            ),
        )
    torch.testing.assert_close(found[0], pseudo_label_graph(probabilities, 0.3), rtol=0, atol=0)
    assert found[1].dtype == torch.float32


def test_thresholds_and_temperatures_that_cannot_be_are_refused():
    with pytest.raises(LossInputError, match=r"threshold 0\b"):
        pseudo_label_graph(targets(), 0)
    with pytest.raises(LossInputError, match="temperature"):
        memory_smoothing(targets(), ZA, QUEUE, BANK_GUESSES, 0.0, 0.9)
