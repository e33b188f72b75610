"""An encoder in two parts, and fine-tuning of the second on cached maps of the first."""

import pytest
import torch

from adaptation.coloured import coloured_images, encoder_of
from likewise.adaptation import prototype_classifier
from likewise.adaptation.cached_fine_tuning import cache_views, fine_tune_last
from likewise.adaptation.frozen_stages import split_before_last
from likewise.evaluation.features import extract
from likewise.views.policies import centre
from likewise.views.view_policy import ViewPolicy


@pytest.mark.parametrize("name", ["conv4", "timm/resnet10t", "timm/tf_efficientnet_lite0"])
def test_the_two_parts_make_the_whole(name):
    encoder = encoder_of(name, size=64)
    split = split_before_last(encoder, 2, 64)
    pixels = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        maps = split.first(pixels)
        assert maps.dim() == 4
        torch.testing.assert_close(split.rest(maps), encoder(pixels), rtol=1e-4, atol=1e-5)


def test_a_network_that_cannot_be_cut_is_said_to_be_one():
    assert split_before_last(encoder_of("timm/vit_tiny_patch16_224", size=32), 2, 32) is None


def features(encoder, images):
    return extract(encoder, images, torch.arange(len(images)), centre(images.size))


def fine_tuned(encoder, split, images, labels, **settings):
    maps = cache_views(
        split, images, torch.arange(len(images)), 2, policy=ViewPolicy(crop_area=(0.8, 1.0))
    )
    head = prototype_classifier(features(encoder, images), labels, 3)
    return fine_tune_last(encoder, split, maps, labels, head, batch_size=12, **settings)


def test_the_last_blocks_learn_and_the_first_ones_and_the_start_stay():
    images, labels = coloured_images()
    encoder = encoder_of("conv4")
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    split = split_before_last(encoder, 2, 32)
    found = fine_tuned(encoder, split, images, labels, steps=12, learning_rate=1e-2)
    after = found.encoder.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"2", "3"}  # of blocks.0 to blocks.3
    right = found.head(features(found.encoder, images)).argmax(dim=1) == labels
    assert float(right.float().mean()) > 0.9


def test_it_can_be_repeated_and_ends_at_its_time():
    images, labels = coloured_images(24)
    encoder = encoder_of("conv4")
    split = split_before_last(encoder, 1, 32)
    first, again = (fine_tuned(encoder, split, images, labels, steps=3) for _ in range(2))
    assert torch.equal(first.head.weight, again.head.weight)
    short = fine_tuned(encoder, split, images, labels, steps=10**6, time_limit=0.3)
    assert 0 < short.steps < 10**6
