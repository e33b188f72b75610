"""Encoders whose features are followed by the pooled maps of earlier stages: what they compute, and their files."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from likewise.classification import Classifier
from likewise.encoders import EncoderSettings, build_encoder, load_encoder, save_encoder
from likewise.encoders.from_timm import with_intermediates
from likewise.errors import LikewiseError
from likewise.runs.export import export
from likewise.runs.exported import Exported

PLAIN = EncoderSettings("timm/tf_efficientnet_lite0", 64, (0.5,) * 3, (0.5,) * 3)
SETTINGS = replace(PLAIN, intermediates=2)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return build_encoder(SETTINGS).eval()


def shown(encoder, pixels):
    """Maps after the blocks of an EfficientNet that end a resolution, and the features."""
    network, found = encoder.network, []
    for block in (network.blocks[4], network.blocks[6]):
        block.register_forward_hook(lambda module, inputs, output: found.append(output))
    features = network.forward_head(
        network.forward_features(encoder.normalise(pixels)), pre_logits=True
    )
    return found, features


@torch.no_grad()
def test_each_part_is_a_pooled_map_of_unit_norm_from_the_last_to_the_first(encoder):
    pixels = torch.rand(3, 3, 64, 64)
    (early, late), features = shown(encoder, pixels)
    parts = [features, late.mean(dim=(2, 3)), early.mean(dim=(2, 3))]
    expected = torch.cat([functional.normalize(part) for part in parts], dim=1)
    torch.testing.assert_close(encoder(pixels), expected)
    assert encoder.width == expected.shape[1]


def test_it_shares_the_network_it_is_made_from_and_is_stored_with_its_settings(encoder, tmp_path):
    plain = build_encoder(PLAIN).eval()
    joined = with_intermediates(plain, 2)
    assert joined.network is plain.network and not joined.training
    save_encoder(encoder, SETTINGS, tmp_path)
    again, settings = load_encoder(tmp_path)
    pixels = torch.rand(2, 3, 64, 64)
    assert settings == SETTINGS
    torch.testing.assert_close(again(pixels), encoder(pixels))


def classifier(encoder):
    return Exported(
        Classifier(encoder, torch.nn.Linear(encoder.width, 2), 1.5, ("a", "b")).eval(), SETTINGS
    )


@pytest.mark.parametrize(
    "to", [pytest.param("onnx", marks=pytest.mark.slow), "torchscript", "safetensors"]
)
def test_a_classifier_on_it_is_exported_with_its_head(encoder, tmp_path, to):
    if to == "onnx":
        pytest.importorskip("onnxscript")
    assert export(classifier(encoder), tmp_path, to).is_file()  # which compares what it loads back


@pytest.mark.parametrize("to", ["timm", "hub"])
def test_timm_builds_no_such_network_so_it_is_refused(encoder, tmp_path, to):
    with pytest.raises(LikewiseError, match="intermediate maps"):
        export(classifier(encoder), tmp_path, to)
    assert not list(tmp_path.iterdir())


def test_a_network_without_so_many_maps_or_not_of_timm_is_refused():
    with pytest.raises(LikewiseError, match="intermediate"):
        build_encoder(replace(SETTINGS, intermediates=9))
    with pytest.raises(LikewiseError, match="conv4"):
        build_encoder(replace(SETTINGS, name="conv4"))
