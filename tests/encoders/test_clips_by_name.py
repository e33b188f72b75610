from __future__ import annotations

import pytest
import torch

from likewise.encoders import build_encoder, choose_encoder
from likewise.encoders.clips_by_name import build_clip_encoder, names_for_clips, reads_clips
from likewise.encoders.lip_networks import LipEncoder

COLOUR = ((0.4,) * 3, (0.2,) * 3)


def test_every_name_is_built_and_reads_clips():
    assert all(map(reads_clips, names_for_clips()))
    assert not reads_clips("conv4")
    assert isinstance(build_clip_encoder("lip-small", *COLOUR), LipEncoder)
    assert build_clip_encoder("r2plus1d-small", *COLOUR).width == 128


@pytest.mark.parametrize("name", ["lip-small", "r2plus1d-small"])
def test_settings_build_the_same_network_again(name):
    settings = choose_encoder(name, 16, *COLOUR, frames=4)
    assert (settings.name, settings.frames) == (name, 4)
    encoder, again = build_encoder(settings), build_encoder(settings)
    again.load_state_dict(encoder.state_dict())
    clips = torch.rand(2, 4, 3, 16, 16)
    torch.testing.assert_close(encoder.eval()(clips), again.eval()(clips))
