from __future__ import annotations

import math

import pytest
import torch

from likewise.encoders.conformer import Conformer, RelativeAttention, sinusoids


def naive_attention(
    rule: RelativeAttention, states: torch.Tensor, valid: torch.Tensor
) -> torch.Tensor:
    """One weight after the other, by the formula of Dai et al. 2019, App. B."""
    rows, length, width = states.shape
    size = width // rule.heads
    query, key, value = rule.query(states), rule.key(states), rule.value(states)
    together = []
    for row in range(rows):
        instants = []
        for i in range(length):
            parts = []
            for head in range(rule.heads):
                ours = slice(head * size, (head + 1) * size)
                scores = []
                for j in range(length):
                    angle = [(i - j) / 10_000 ** (2 * (k // 2) / width) for k in range(width)]
                    wave = torch.tensor(
                        [math.sin(a) if k % 2 == 0 else math.cos(a) for k, a in enumerate(angle)]
                    )
                    far = (rule.distance.weight @ wave)[ours]
                    content = (query[row, i, ours] + rule.content_bias[head]) @ key[row, j, ours]
                    distance = (query[row, i, ours] + rule.distance_bias[head]) @ far
                    scores.append((content + distance) / math.sqrt(size))
                weights = torch.stack(
                    [s if valid[row, j] else s - math.inf for j, s in enumerate(scores)]
                ).softmax(0)
                parts.append(sum(weights[j] * value[row, j, ours] for j in range(length)))
            instants.append(torch.cat(parts))
        together.append(torch.stack(instants))
    return rule.out(torch.stack(together))


@pytest.mark.parametrize("length", [1, 2, 5])
def test_relative_attention_is_the_formula_gradients_included(length):
    torch.manual_seed(0)
    rule = RelativeAttention(8, heads=2)
    valid = torch.arange(length) < torch.tensor([[length], [max(length - 2, 1)]])
    found = []
    for way in (rule, lambda states, valid: naive_attention(rule, states, valid)):
        states = torch.randn(
            2, length, 8, generator=torch.Generator().manual_seed(1)
        ).requires_grad_()
        rule.zero_grad()
        out = way(states, valid)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        found.append([out.detach(), states.grad, *(p.grad.clone() for p in rule.parameters())])
    for ours, naive in zip(*found, strict=True):
        torch.testing.assert_close(ours, naive, rtol=1e-4, atol=1e-5)


def test_distances_run_from_far_back_to_far_ahead():
    waves = sinusoids(3, 4)
    assert waves.shape == (5, 4)
    for row, distance in enumerate((2, 1, 0, -1, -2)):
        expected = [
            math.sin(distance),
            math.cos(distance),
            math.sin(distance / 100),
            math.cos(distance / 100),
        ]
        assert waves[row].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_what_stands_in_the_padding_changes_nothing_elsewhere(training):
    torch.manual_seed(0)
    network = Conformer(8, heads=2, hidden=16, kernel=5, layers=2).train(training)
    states = torch.randn(3, 7, 8)
    valid = (torch.arange(7) < 4).expand(3, 7)
    if not training:  # alone, a sequence without padding has other statistics of the batch
        expected = network(states[:, :4])
        torch.testing.assert_close(network(states, valid)[:, :4], expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(network(states)[:, :4], expected, atol=1e-3)
    other = torch.where(valid[:, :, None], states, torch.randn(3, 7, 8) * 10)
    torch.testing.assert_close(
        network(states, valid)[:, :4], network(other, valid)[:, :4], rtol=1e-4, atol=1e-5
    )


def test_the_same_sequence_later_gives_the_same_later():
    """Places are relative: with silence around it, a pattern's states move with it."""
    torch.manual_seed(0)
    network = Conformer(8, heads=2, hidden=16, kernel=3, layers=1).eval()
    valid = torch.zeros(2, 9, dtype=torch.bool)
    valid[0, :4], valid[1, 5:] = True, True
    states = torch.zeros(2, 9, 8)
    states[0, :4] = states[1, 5:] = torch.randn(4, 8)
    out = network(states, valid)
    torch.testing.assert_close(out[0, :4], out[1, 5:], rtol=1e-4, atol=1e-5)


def test_dropout_in_training_alone_and_half_precision():
    torch.manual_seed(0)
    network = Conformer(8, heads=2, hidden=16, kernel=3, layers=1, dropout=0.5)
    states = torch.randn(2, 5, 8)
    assert not torch.equal(network(states), network(states))
    network.eval()
    exact = network(states)
    assert torch.equal(exact, network(states))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network(states, torch.ones(2, 5, dtype=torch.bool))
    torch.testing.assert_close(rounded.float(), exact, rtol=0.1, atol=0.1)
