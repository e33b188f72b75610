from __future__ import annotations

import pytest
import torch

from likewise.encoders.lip_networks import LIPS, lip_encoder
from likewise.errors import LikewiseError

GRAY, COLOUR = ((0.4,), (0.2,)), ((0.1, 0.5, 0.9), (0.1, 0.2, 0.4))


@pytest.mark.parametrize(
    ("name", "size"), [("lip-small", 32), ("lip-small", 12), ("lip-resnet18", 48)]
)
@pytest.mark.parametrize("statistics", [GRAY, COLOUR], ids=["gray", "colour"])
def test_clips_become_a_feature_for_each_frame(name, size, statistics):
    torch.manual_seed(0)
    encoder = lip_encoder(name, *statistics).eval()
    clips = torch.rand(2, 6, len(statistics[0]), size, size)
    with torch.no_grad():
        frames = encoder.frame_features(clips)
        maps = encoder.feature_map(clips)
        features = encoder(clips)
        assert frames.shape == (2, 6, encoder.width) and maps.shape == (2, encoder.width, 6, 1, 1)
        torch.testing.assert_close(frames, maps[..., 0, 0].mT)
        torch.testing.assert_close(features, frames.mean(dim=1), rtol=1e-4, atol=1e-5)
        assert encoder.stage_widths() == [LIPS[name].widths[0], *LIPS[name].widths, encoder.width]
        assert encoder.another_stage()(maps).shape == maps.shape


def test_colour_is_normalised_and_made_grey():
    encoder = lip_encoder("lip-small", *COLOUR)
    clips = torch.rand(1, 3, 3, 8, 8)
    normalised = encoder.normalise(clips)
    assert normalised.shape == (1, 1, 3, 8, 8)
    pixel = clips[0, 2, :, 5, 6]
    expected = ((pixel[0] - 0.1) / 0.1 + (pixel[1] - 0.5) / 0.2 + (pixel[2] - 0.9) / 0.4) / 3
    assert float(normalised[0, 0, 2, 5, 6]) == pytest.approx(float(expected), abs=1e-5)


def test_frames_behind_the_end_change_nothing_before_it():
    torch.manual_seed(0)
    encoder = lip_encoder("lip-small", *GRAY).eval()
    clips = torch.rand(2, 8, 1, 16, 16)
    valid = (torch.arange(8) < 5).expand(2, 8)
    with torch.no_grad():
        alone = encoder.frame_features(clips[:, :5])
        torch.testing.assert_close(
            encoder.frame_features(clips, valid)[:, :5], alone, rtol=1e-4, atol=1e-5
        )
        torch.testing.assert_close(encoder(clips, valid), alone.mean(dim=1), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(encoder.frame_features(clips)[:, :5], alone, atol=1e-3)


def test_order_in_time_matters_and_every_frame_is_seen():
    torch.manual_seed(0)
    encoder = lip_encoder("lip-small", *GRAY).eval()
    clips = torch.rand(1, 6, 1, 16, 16, requires_grad=True)
    assert not torch.allclose(encoder(clips), encoder(clips.flip(1)), atol=1e-4)
    encoder(clips).sum().backward()
    assert (clips.grad.abs().amax(dim=(0, 2, 3, 4)) > 0).all()


def test_misuse_is_refused():
    with pytest.raises(LikewiseError, match="lip-small"):
        lip_encoder("lip-smal", *GRAY)
    with pytest.raises(LikewiseError, match=r"\[B, T, C, S, S\]"):
        lip_encoder("lip-small", *GRAY)(torch.rand(2, 1, 32, 32))
