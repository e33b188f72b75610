"""Images have the statistics that the model promises, and the mask does to them what its formula says."""

import pytest
import torch

from likewise.errors import LikewiseError
from likewise.randomness import generator
from likewise.studies.sparse_coding import SparseCoding, no_augmentation, random_mask

DATA = SparseCoding(features=6, pixels=40, chance=0.2, noise=0.5)
ROWS = 100_000


@pytest.fixture(scope="module")
def dictionary():
    return DATA.dictionary(generator("test", "dictionary"))


def test_features_are_orthonormal_and_spread_over_all_pixels():
    data = SparseCoding()
    dictionary = data.dictionary(generator(0))
    assert dictionary.shape == (256, 16)
    assert torch.allclose(dictionary.T @ dictionary, torch.eye(16), atol=1e-5)
    assert dictionary.abs().max() < 5 / 256**0.5  # a feature of one pixel would have an entry of 1
    assert not torch.equal(dictionary, data.dictionary(generator(1)))


def test_sparse_codes_are_rare_signed_and_independent():
    codes = DATA.sparse(ROWS, generator("codes"))
    assert sorted(codes.unique().tolist()) == [-1, 0, 1]
    for sign in (-1, 1):
        assert torch.allclose(
            (codes == sign).float().mean(dim=0), torch.full((6,), 0.1), atol=0.005
        )
    assert torch.allclose(codes.T @ codes / ROWS, 0.2 * torch.eye(6), atol=0.005)
    together = (codes[:, 0] != 0) & (codes[:, 1] != 0)
    assert together.float().mean() == pytest.approx(0.04, abs=0.003)


def test_noise_is_in_every_pixel_and_independent():
    noise = DATA.dense(ROWS, generator("noise"))
    assert torch.allclose(noise.T @ noise / ROWS, 0.25 * torch.eye(40), atol=0.01)
    assert noise.mean(dim=0).abs().max() < 0.01
    # Of a normal distribution.
    assert (noise.abs() > 2 * 0.5).float().mean() == pytest.approx(0.0455, abs=0.002)


def test_images_are_the_sum_of_both(dictionary):
    x = DATA.images(ROWS, dictionary, generator("images"))
    expected = 0.2 * dictionary @ dictionary.T + 0.25 * torch.eye(40)
    assert torch.allclose(x.T @ x / ROWS, expected, atol=0.01)


def test_by_default_most_energy_is_dense():
    data = SparseCoding()
    draw = generator("energy")
    sparse = data.sparse(5_000, draw) @ data.dictionary(draw).T
    assert sparse.square().sum(dim=1).mean() == pytest.approx(16 * 0.12, rel=0.05)
    assert data.dense(5_000, draw).square().sum(dim=1).mean() == pytest.approx(256 / 16, rel=0.05)


def test_masked_views_share_no_pixel_and_average_to_the_image():
    x = torch.randn(3000, 40, generator=generator("x"))
    first, second = random_mask(x, generator("coins"))
    assert torch.equal(first * second, torch.zeros_like(x))
    assert torch.equal(first + second, 2 * x)
    coins = (first != 0).float()
    assert coins.mean() == pytest.approx(0.5, abs=0.01)
    deviations = coins - 0.5  # fair for each pixel and each image, and independent of each other
    assert torch.allclose(deviations.T @ deviations / len(x), torch.eye(40) / 4, atol=0.025)
    rows = deviations[:200] @ deviations[:200].T / 40
    assert (rows - torch.diag(rows.diag())).abs().mean() < 0.05


def test_what_masked_views_have_in_common_is_sparse(dictionary):
    """E[first secondᵀ] is that of the features off the diagonal; all the noise was on it."""
    x = DATA.images(ROWS, dictionary, generator("images"))
    first, second = random_mask(x, generator("coins"))
    common = first.T @ second / ROWS
    features = 0.2 * dictionary @ dictionary.T
    assert torch.equal(common.diag(), torch.zeros(40))
    assert torch.allclose(common, features - torch.diag(features.diag()), atol=0.02)


def test_without_augmentation_both_views_are_the_image():
    x = torch.randn(4, 5)
    assert all(view is x for view in no_augmentation(x, generator(0)))


@pytest.mark.parametrize(
    "given", [{"features": 256}, {"features": 0}, {"chance": 0.0}, {"chance": 1.1}, {"noise": -1}]
)
def test_impossible_images_are_refused(given):
    with pytest.raises(LikewiseError, match="got"):
        SparseCoding(**given)
