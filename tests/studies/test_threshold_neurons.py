"""The learner against its formulas, written out naively."""

import math

import pytest
import torch

from likewise.losses import info_nce
from likewise.randomness import generator
from likewise.studies.sparse_coding import SparseCoding, no_augmentation, random_mask
from likewise.studies.threshold_neurons import Learning, Neurons, contrast, first_weights, learn

DATA = SparseCoding(features=3, pixels=12, chance=0.3, noise=0.2)


def two_relus(weights, x, threshold):
    bound = threshold * weights.detach().norm(dim=1)
    along = x @ weights.T
    return torch.relu(along - bound) - torch.relu(-along - bound)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0])
def test_responses_are_two_relus_in_value_and_gradient(threshold):
    draw = generator("responses")
    weights, x = torch.randn(7, 12, generator=draw), torch.randn(50, 12, generator=draw)
    upstream = torch.randn(50, 7, generator=draw)
    layer = Neurons(weights, thresholded=True)
    expected = weights.clone().requires_grad_()
    response, naive = layer(x, threshold), two_relus(expected, x, threshold)
    assert torch.allclose(response, naive, atol=1e-5)
    (response * upstream).sum().backward()
    (naive * upstream).sum().backward()
    assert torch.allclose(layer.weights.grad, expected.grad, atol=1e-4)
    if threshold == 1.0:
        assert (response == 0).float().mean() > 0.5


def test_linear_neurons_know_no_threshold():
    draw = generator("linear")
    weights, x = torch.randn(7, 12, generator=draw), torch.randn(5, 12, generator=draw)
    assert torch.equal(Neurons(weights, thresholded=False)(x, 0.5), x @ weights.T)


@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_the_loss_is_its_formula_in_value_and_gradient(temperature):
    draw = generator("loss")
    queries, keys = (torch.randn(9, 4, generator=draw, dtype=torch.float64) for _ in range(2))
    queries.requires_grad_()
    keys.requires_grad_()
    loss = contrast(queries, keys, temperature)
    loss.backward()
    value, gradient = 0.0, torch.zeros(9, 4, dtype=torch.float64)
    for i in range(9):
        scores = [float((queries[i] @ keys[a]).detach()) / temperature for a in range(9)]
        total = sum(math.exp(score) for score in scores)
        value -= temperature * (scores[i] - math.log(total)) / 9
        for a in range(9):
            gradient[i] += (math.exp(scores[a]) / total - (a == i)) * keys[a].detach() / 9
    assert loss.item() == pytest.approx(value, rel=1e-9)
    assert torch.allclose(queries.grad, gradient, atol=1e-9)
    assert keys.grad is None
    ids = torch.arange(9)
    library = temperature * info_nce(queries, keys, ids, ids, temperature)
    assert loss.item() == pytest.approx(library.item(), rel=1e-9)


def test_the_threshold_rises_in_the_first_half():
    learning = Learning(steps=100, threshold=0.4, rising=0.5)
    assert [learning.threshold_at(step) for step in (0, 25, 50, 99)] == pytest.approx(
        [0, 0.2, 0.4, 0.4]
    )


def naive_training(weights, augment, learning, dictionary, draw):
    """The same steps with dense similarities, autograd and Adam written out; weights [H, P] are not changed."""
    weights, mean, square = weights.clone(), torch.zeros_like(weights), torch.zeros_like(weights)
    for step in range(learning.steps):
        x = DATA.sparse(learning.rows, draw) @ dictionary.T + DATA.dense(learning.rows, draw)
        first, second = augment(x, draw)
        threshold = learning.threshold * min(1, 2 * step / learning.steps)
        weights.requires_grad_()
        queries = two_relus(weights, first, threshold)
        keys = two_relus(weights, second, threshold).detach()
        logits = queries @ keys.T / learning.temperature
        loss = -learning.temperature * logits.log_softmax(dim=1).diag().mean()
        loss = loss + learning.weight_decay / 2 * weights.square().sum()
        (gradient,) = torch.autograd.grad(loss, weights)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        corrected = mean / (1 - 0.9 ** (step + 1)), square / (1 - 0.999 ** (step + 1))
        weights = (
            weights - learning.learning_rate * corrected[0] / (corrected[1].sqrt() + 1e-8)
        ).detach()
    return weights


@pytest.mark.parametrize("augment", [random_mask, no_augmentation])
def test_training_is_the_naive_loop(augment):
    learning = Learning(
        neurons=5,
        rows=16,
        steps=8,
        learning_rate=0.02,
        weight_decay=0.05,
        temperature=0.5,
        start=1.0,
    )
    dictionary = DATA.dictionary(generator("dictionary"))
    start = first_weights(DATA, learning, generator("weights"))
    expected = naive_training(start, augment, learning, dictionary, generator("images"))
    layer, observed = Neurons(start, thresholded=True), []
    learn(DATA, dictionary, [(augment, layer)], learning, generator("images"), observed.append)
    assert torch.allclose(layer.weights, expected, atol=2e-4)
    assert (expected - start).abs().mean() > 0.05  # it did move
    assert observed == list(range(9))


def test_layers_side_by_side_learn_as_if_alone():
    learning = Learning(neurons=5, rows=16, steps=5, learning_rate=0.02)
    dictionary = DATA.dictionary(generator("dictionary"))
    start = first_weights(DATA, learning, generator("weights"))

    def trained(*thresholded):
        layers = [Neurons(start, each) for each in thresholded]
        learn(
            DATA,
            dictionary,
            [(random_mask, layer) for layer in layers],
            learning,
            generator("images"),
        )
        return layers

    beside, alone = trained(False, True)[1], trained(True)[0]
    assert torch.equal(beside.weights, alone.weights)
