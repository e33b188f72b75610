from __future__ import annotations

import pytest
import torch

from likewise.data.batch import Pixels
from likewise.randomness import BatchRNG
from likewise.views.centre_view import CentreView
from likewise.views.policies import fixmatch_strong, moco_v2, simclr


@pytest.mark.parametrize("policy", [moco_v2(), simclr(), fixmatch_strong(), CentreView(20)])
def test_all_frames_of_a_clip_are_shown_alike(policy):
    """A clip's view is, frame by frame, the view that each frame alone would get from the same draws."""
    frames = torch.randint(
        0, 256, (4, 5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    aspect = torch.tensor([1.0, 1.5, 0.7, 1.0])
    clip = policy(Pixels(frames, aspect), BatchRNG((3,), 4))
    assert clip.pixels.shape[:3] == (4, 5, 3) and clip.box.shape == (4, 2, 3)
    for instant in range(5):
        alone = policy(Pixels(frames[:, instant], aspect), BatchRNG((3,), 4))
        assert torch.equal(alone.pixels, clip.pixels[:, instant])
        assert torch.equal(alone.box, clip.box)
