"""One layer of neurons that learns by contrast: what Wen & Li 2021 (https://arxiv.org/abs/2105.15134) train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from likewise.losses.log_sums.similarity_sums import cross_logsumexp
from likewise.studies.sparse_coding import Augmentation, SparseCoding


@dataclass(frozen=True)
class Learning:
    """How neurons learn; each step sees images that were never seen before."""

    neurons: int = 48
    """three times as many as there are features"""
    rows: int = 192
    """images of a step; all but its own are an image's negatives"""
    steps: int = 2000
    """at 300 only a third of the features are found"""
    temperature: float = 1.0
    """of the loss; responses are not normalised"""
    learning_rate: float = 1e-3
    """of Adam"""
    weight_decay: float = 1e-3
    """added to the gradient before Adam, as the loss's term of squared weights would be"""
    start: float = 0.1
    """length of a neuron's first weights, about"""
    threshold: float = 0.3
    """of a neuron at the end, for each unit of its length; 0.5 costs purity"""
    rising: float = 0.5
    """share of the steps in which the threshold rises from 0"""

    def threshold_at(self, step: int) -> float:
        """The threshold of a step, for each unit of a neuron's length."""
        return self.threshold * min(1.0, step / max(self.rising * self.steps, 1))


class Neurons(nn.Module):
    """Responses h_i = ReLU(w_i.x - b_i) - ReLU(-w_i.x - b_i): nothing within the threshold b_i, of either sign.

    Args:
        weights: [H, P], copied.
        thresholded: False leaves the responses linear: h_i = w_i.x.
    """

    def __init__(self, weights: Tensor, thresholded: bool) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights.clone())
        self.thresholded = thresholded

    def forward(self, x: Tensor, threshold: float) -> Tensor:
        """Responses [N, H] to images [N, P]; b_i is ``threshold`` times the length of w_i, and has no gradient."""
        response = x @ self.weights.T
        if not self.thresholded:
            return response
        bound = threshold * self.weights.detach().norm(dim=1)
        return response - response.clamp(-bound, bound)  # the two ReLUs, in one operation fewer


def contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Each query should know its own key from those of all other rows.

    -T log( e^{q_i.k_i / T} / sum_a e^{q_i.k_a / T} ), the mean over rows; equal in value and gradient to T times
    `likewise.losses.info_nce` with ids 0..N-1, whose bookkeeping of ids would take three times as long as these sums.

    Args:
        queries: responses [N, H], not normalised.
        keys: responses [N, H] to the other views, in the same order; no gradient.
        temperature: T, above 0.
    """
    scaled, keys = queries / temperature, keys.detach()
    own = torch.linalg.vecdot(scaled, keys)  # [N]
    losses = cross_logsumexp(scaled, keys).all_logsumexp - own
    return temperature * losses.mean()


def learn(
    data: SparseCoding,
    dictionary: Tensor,
    arms: Sequence[tuple[Augmentation, Neurons]],
    learning: Learning,
    generator: Generator,
    observe: Callable[[int], None] = lambda step: None,
) -> None:
    """Train several layers of neurons side by side, each on its own views of the same images.

    Args:
        data: makes the images.
        dictionary: the features, [P, F].
        arms: how the views of each layer are made, and the layer.
        learning: sizes and rates.
        generator: of images and masks; arms with one augmentation use the same views.
        observe: called with the number of steps done: 0, then after each step.
    """
    # One Adam is as good as one for each: it treats every weight alone.
    weights = [neurons.weights for _, neurons in arms]
    optimizer = torch.optim.Adam(
        weights, learning.learning_rate, weight_decay=learning.weight_decay, fused=True
    )
    augmentations = dict.fromkeys(augment for augment, _ in arms)
    observe(0)
    for step in range(learning.steps):
        x = data.images(learning.rows, dictionary, generator)
        views = {augment: augment(x, generator) for augment in augmentations}
        threshold = learning.threshold_at(step)
        losses = []
        for augment, neurons in arms:
            first, second = views[augment]
            queries = neurons(first, threshold)
            with torch.no_grad():
                keys = queries if second is first else neurons(second, threshold)
            losses.append(contrast(queries, keys, learning.temperature))
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
        observe(step + 1)


def first_weights(data: SparseCoding, learning: Learning, generator: Generator) -> Tensor:
    """Weights [H, P] in random directions."""
    normal = torch.randn(learning.neurons, data.pixels, generator=generator)
    return normal * (learning.start / data.pixels**0.5)
