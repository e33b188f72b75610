"""Nine weight-normed convolutions: what weight norm computes, where it begins, that each image is seen alone."""

import pytest
import torch

from likewise.encoders import build_encoder
from likewise.encoders.encoder_settings import EncoderSettings
from likewise.encoders.weight_normed import WeightNormedConvolution
from likewise.heads import auxiliary_heads


def conv9(size=28, channels=1):
    return build_encoder(EncoderSettings("conv9-half", size, (0.4,) * channels, (0.3,) * channels))


def test_a_filter_is_a_direction_times_a_length():
    torch.manual_seed(0)
    layer = WeightNormedConvolution(2, 3, 3, padding=1).double()
    pixels = torch.randn(4, 2, 5, 5).double()
    with torch.no_grad():
        layer.length.copy_(torch.tensor([0.5, 2.0, -1.0]))
    expected = []
    for direction, length, bias in zip(layer.weight, layer.length, layer.bias, strict=True):
        lone = torch.nn.functional.conv2d(
            pixels, direction[None] * (length / direction.square().sum().sqrt()), padding=1
        )
        expected.append(lone + bias)
    torch.testing.assert_close(layer(pixels), torch.cat(expected, dim=1))


def test_the_length_of_the_direction_does_not_matter():
    layer, pixels = WeightNormedConvolution(2, 3, 3), torch.randn(4, 2, 5, 5)
    before = layer(pixels)
    with torch.no_grad():
        layer.weight.mul_(7)
    torch.testing.assert_close(layer(pixels), before)


def test_it_begins_as_a_convolution_of_its_weights_and_again_after_a_reset():
    layer, pixels = WeightNormedConvolution(2, 3, 3), torch.randn(4, 2, 5, 5)
    for _ in range(2):
        plain = torch.nn.functional.conv2d(pixels, layer.weight, layer.bias)
        torch.testing.assert_close(layer(pixels), plain)
        before = layer.weight.clone()
        layer.reset_parameters()
        assert not torch.equal(layer.weight, before)


@pytest.mark.parametrize("size", [12, 28, 32, 64])
def test_each_image_is_seen_alone_and_has_finite_features(size):
    encoder, pixels = conv9(size), torch.rand(3, 1, size, size)
    encoder.eval()
    features = encoder(pixels)
    assert features.shape == (3, 64)
    torch.testing.assert_close(encoder(pixels[:1]), features[:1])
    assert 0.05 < features.std() < 20  # first weights neither blow up nor vanish over nine layers
    assert not any(
        isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in encoder.modules()
    )


def test_units_are_dropped_in_training_alone():
    encoder, pixels = conv9(), torch.rand(2, 1, 28, 28)
    assert not torch.equal(encoder.train()(pixels), encoder(pixels))
    assert torch.equal(encoder.eval()(pixels), encoder(pixels))


def test_stages_built_anew_do_not_share_first_weights():
    encoder = conv9()
    heads = auxiliary_heads(encoder, 4)
    branch = next(
        module for module in heads[0].modules() if isinstance(module, WeightNormedConvolution)
    )
    assert branch.weight.shape == encoder.blocks[1][0][0].weight.shape
    assert not torch.equal(branch.weight, encoder.blocks[1][0][0].weight)
    torch.testing.assert_close(branch.length, branch.weight.flatten(1).norm(dim=1))
