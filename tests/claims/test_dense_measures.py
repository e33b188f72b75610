"""How often matched locations show one object, against a naive count over each pair."""

import numpy as np
import pytest
import torch

from likewise.claims.dense_measures import share_on_one_object
from likewise.methods.setsim import MatchedViews
from likewise.views.view import View


def naive(matched, masks):
    """Pair by pixel: the class under each centre, found by walking there."""
    right = total = 0
    side = round(matched.pairs.shape[1] ** 0.5)
    for b, mask in enumerate(masks):
        for u, v in matched.pairs[b].nonzero().tolist():
            classes = []
            for view, place in ((matched.first, u), (matched.second, v)):
                x, y = (2 * (place % side) + 1) / side - 1, (2 * (place // side) + 1) / side - 1
                at = view.box[b] @ torch.tensor([x, y, 1.0])
                column, row = ((at + 1) / 2 * torch.tensor(mask.shape[::-1])).floor().int().tolist()
                classes.append(mask[row, column])
            right += classes[0] == classes[1] > 0
            total += 1
    return right / total


def test_the_share_of_pairs_on_one_object():
    random = np.random.default_rng(0)
    masks = [random.integers(-1, 3, (20, 30)).astype(np.int16) for _ in range(3)]
    boxes = torch.tensor(
        [
            [[0.5, 0, -0.3], [0, 0.6, 0.2]],
            [[-0.7, 0, 0.1], [0, 0.4, -0.1]],
            [[1.0, 0, 0], [0, 1.0, 0]],
        ]
    )
    pairs = torch.from_numpy(random.random((3, 16, 16)) < 0.3)
    matched = MatchedViews(View(torch.zeros(3), boxes), View(torch.zeros(3), boxes.flip(0)), pairs)
    assert share_on_one_object(matched, masks) == pytest.approx(naive(matched, masks), rel=1e-6)
    assert share_on_one_object(matched._replace(pairs=pairs & False), masks) == 0
