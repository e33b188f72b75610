from __future__ import annotations

import pytest
import torch

from likewise.encoders.clip_networks import OURS, FactoredConvolution, clip_encoder
from likewise.errors import LikewiseError

MEAN, STD = (0.4, 0.4, 0.4), (0.2, 0.2, 0.2)


@pytest.mark.parametrize("name", [OURS, "torchvision/r3d_18", "torchvision/r2plus1d_18"])
def test_clips_become_features(name):
    encoder = clip_encoder(name, MEAN, STD).eval()
    clips = torch.rand(2, 8, 3, 32, 32)
    with torch.no_grad():
        maps, features = encoder.feature_map(clips), encoder(clips)
    assert maps.shape[:2] == (2, encoder.width) and maps.dim() == 5
    assert torch.allclose(features, maps.mean(dim=(2, 3, 4)), atol=1e-5)
    assert encoder.stage_widths()[-1] == encoder.width


def test_order_in_time_matters_and_colour_is_normalised_per_channel():
    torch.manual_seed(0)
    encoder = clip_encoder(OURS, (0.1, 0.5, 0.9), (0.1, 0.2, 0.4)).eval()
    clips = torch.rand(1, 8, 3, 24, 24)
    with torch.no_grad():
        assert not torch.allclose(encoder(clips), encoder(clips.flip(1)), atol=1e-4)
    normalised = encoder.normalise(clips)
    assert normalised.shape == (1, 3, 8, 24, 24)
    assert torch.allclose(normalised[0, 2, 5], (clips[0, 5, 2] - 0.9) / 0.4, atol=1e-6)


def test_factored_convolutions_have_the_parameters_of_a_full_one():
    parameters = sum(
        p.numel() for p in FactoredConvolution(32, 64, (1, 1)).parameters() if p.dim() == 5
    )
    assert 0.97 < parameters / (27 * 32 * 64) <= 1


def test_misuse_is_refused():
    with pytest.raises(LikewiseError, match="r2plus1d"):
        clip_encoder("r2plus1d-smal", MEAN, STD)
    with pytest.raises(LikewiseError, match=r"r3d_18.*\b3\b.*--encoder"):
        clip_encoder("torchvision/r3d_18", (0.5,), (0.2,))
    with pytest.raises(LikewiseError, match=r"\[B, T, C, S, S\]"):
        clip_encoder(OURS, MEAN, STD)(torch.rand(2, 3, 32, 32))
