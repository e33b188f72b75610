"""The measures on neurons whose answer is known, and the paper's picture on a setting of two seconds."""

import json
from dataclasses import replace

import pytest
import torch

from likewise.randomness import generator
from likewise.studies.feature_decoupling import (
    CASES,
    StudyClaim,
    alignment,
    measure,
    purity,
    run,
    span,
    verdict,
)
from likewise.studies.sparse_coding import SparseCoding
from likewise.studies.threshold_neurons import Learning, Neurons

SMALL = SparseCoding(features=8, pixels=96, chance=0.15, noise=0.3)
SHORT = Learning(neurons=24, rows=96, steps=500, learning_rate=4e-3)


def test_span_and_purity_of_known_neurons():
    basis = torch.linalg.qr(torch.randn(20, 20, generator=generator("basis"))).Q
    features, rest = basis[:, :4], basis[:, 4:]
    neurons = torch.stack([
        3 * features[:, 1],  # one feature, of any length
        -features[:, 0],  # and of either sign
        features[:, 0] + features[:, 2],  # two of them
        rest[:, 5],  # none
        features[:, 3] + rest[:, 0],  # half of it dense
    ])  # fmt: skip
    cosines = alignment(neurons, features)
    half = 0.5**0.5
    assert torch.allclose(cosines.amax(dim=1), torch.tensor([1, 1, half, 0, half]), atol=1e-5)
    assert purity(cosines) == pytest.approx((2 + 2 * half) / 5, abs=1e-5)
    assert span(cosines) == pytest.approx((1 + 1 + 1 + 0 + 0.5) / 5, abs=1e-5)


def test_responses_of_known_neurons():
    data = SparseCoding(features=4, pixels=20, chance=1.0, noise=0.5)
    basis = torch.linalg.qr(torch.randn(20, 20, generator=generator("basis"))).Q
    features, rest = basis[:, :4], basis[:, 4:]

    def measured(weights):
        layer = Neurons(weights, thresholded=False)
        return measure(layer, features, data, 0.3, generator("test"), [])

    dense = measured(rest.T)
    assert dense.same_dense == pytest.approx(1, abs=1e-5) and abs(dense.same_sparse) < 0.05
    sparse = measured(features.T)
    assert sparse.same_sparse > 0.7 and sparse.same_dense < 0.3
    assert (sparse.found, dense.found) == (1, 0)
    assert measured(features[:, :3].T).found == 0.75


@pytest.fixture(scope="module")
def small():
    return run(seeds=2, data=SMALL, learning=SHORT)


def test_with_the_mask_neurons_become_features_and_without_they_stay_dense(small):
    for seed in range(2):
        mask, mixed, none = (
            small.cases[name][seed] for name in ("mask_relu", "mask_linear", "none_relu")
        )
        assert mask.found >= 0.9 and mixed.found < 0.5 and none.found == 0
        assert mask.span - none.span >= 0.4 and none.span < 0.5
        assert mask.purity - mixed.purity >= 0.1
        assert mask.same_sparse > mask.same_dense
        assert none.same_dense > none.same_sparse
    # Weights that know nothing.
    assert small.cases["mask_relu"][0].course[0].span == pytest.approx(8 / 96, abs=0.05)
    assert small.cases["mask_relu"][0].course[-1].step == 500


def one_mask_for_both(x, draw):
    coins = torch.randint(0, 2, x.shape, generator=draw)
    return 2 * coins * x, 2 * coins * x


def two_masks(x, draw):
    first, second = (torch.randint(0, 2, x.shape, generator=draw) for _ in range(2))
    return 2 * first * x, 2 * second * x


@pytest.mark.parametrize("broken", [one_mask_for_both, two_masks])
def test_views_that_share_pixels_share_noise_and_the_picture_breaks(broken):
    cases = {
        name: case._replace(augment=broken) if "mask" in name else case
        for name, case in CASES.items()
    }
    found = run(seeds=1, data=SMALL, learning=SHORT, cases=cases)
    assert [claim.held for claim in found.claims] == [False, True, False, False, False, True]
    assert not found.held
    assert found.sentence.startswith("4 of 6 ")
    assert "found 0 of the 8 sparse features" in found.sentence


def test_the_same_seed_gives_the_same_figures(small):
    brief = replace(SHORT, steps=12)
    first, again = (run(5, 2, SMALL, brief).to_json() for _ in range(2))
    assert {**first, "seconds": 0} == {**again, "seconds": 0}
    assert first["seeds"] == [5, 6]
    other = run(6, 1, SMALL, brief).to_json()
    assert (
        other["cases"]["mask_relu"][0]
        == first["cases"]["mask_relu"][1]
        != first["cases"]["mask_relu"][0]
    )
    assert json.loads(json.dumps(first)) == first


def test_a_claim_must_hold_for_every_seed():
    assert StudyClaim("", 0.5, [0.5, 0.9]).held
    assert not StudyClaim("", 0.5, [0.9, 0.49]).held


def test_the_sentence_tells_worst_and_best(small):
    good, bad = small.cases["mask_relu"][0], small.cases["none_relu"][0]
    cases = {
        "mask_relu": [good, replace(good, found=0.875)],
        "mask_linear": [replace(good, purity=0.1)] * 2,
        "none_relu": [replace(bad, span=0.2, found=0.125), replace(bad, span=0.3)],
        "none_linear": [bad] * 2,
    }
    found = replace(small, cases=cases)
    assert (
        "found 7 of the 8 sparse features in the worst seed; without augmentation 1 in the best, and 70%"
        in verdict(found)
    )
    assert verdict(replace(found, cases={**cases, "mask_relu": [good, good]})).startswith(
        "The paper's picture holds for each"
    )
