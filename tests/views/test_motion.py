from __future__ import annotations

import dataclasses

import pytest
import torch

from likewise.data.batch import Batch, Pixels
from likewise.errors import LikewiseError
from likewise.randomness import BatchRNG
from likewise.views.motion.flow import flow_edges
from likewise.views.motion.motion_views import LIMIT, MotionViews
from likewise.views.view_policy import ViewPolicy

SIDE, KEPT, FRAMES = 16, 9, 4
WHOLE = ViewPolicy(size=SIDE, crop_area=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0, frames=FRAMES)


def clips(count=5, channels=1):
    chance = torch.Generator().manual_seed(0)
    pixels = torch.randint(
        0, 256, (count, KEPT, channels, SIDE, SIDE), dtype=torch.uint8, generator=chance
    )
    flow = torch.randint(
        -200, 200, (count, KEPT - 1, 2, SIDE, SIDE), dtype=torch.int16, generator=chance
    )
    return Batch(
        Pixels(pixels, torch.ones(count)),
        torch.zeros(count),
        torch.arange(count),
        modalities={"flow": flow},
    )


def seen(kind, policy, batch, key=0):
    """A view of the frames, and the motion beside it."""
    view = WHOLE(batch.pixels, BatchRNG((key, "frames"), batch.size))
    return view, MotionViews(kind, policy)(batch, BatchRNG((key, "motion"), batch.size), view)


@pytest.mark.parametrize("kind", ["flow", "flow-edges", "frame-difference"])
def test_each_picture_is_what_happens_between_two_frames_of_the_window(kind):
    batch = clips()
    view, motion = seen(kind, WHOLE, batch)
    channels = 2 if kind == "flow" else 1
    assert motion.shape == (5, FRAMES - 1, channels, SIDE, SIDE)
    for row in range(5):
        first = int(view.start[row])
        for step in range(FRAMES - 1):
            flow = batch.modalities["flow"][row, first + step].float() / 64
            frames = batch.pixels.images[row, first + step : first + step + 2].float() / 255
            expected = {
                "flow": (flow / (LIMIT * SIDE)).clamp(-1, 1),
                "flow-edges": flow_edges(flow[None], LIMIT * SIDE)[0],
                "frame-difference": frames[1] - frames[0],
            }[kind]
            torch.testing.assert_close(motion[row, step], expected, rtol=0, atol=1e-5)


def test_flow_is_cropped_like_a_frame_and_its_arrows_grow_and_turn_with_it():
    """A flow that grows by one pixel a column: its view tells where the view looks, and by how much it enlarges."""
    batch = clips(count=40)
    columns = torch.arange(SIDE, dtype=torch.float32).sub(8)
    flow = torch.zeros_like(batch.modalities["flow"])
    flow[:, :, 0] = columns.to(torch.int16)  # in 1/64 pixel: small, so that nothing is cut off
    batch = batch._replace(modalities={"flow": flow})
    policy = ViewPolicy(size=8, crop_area=(0.3, 0.8), flip=0.5)
    _, motion = seen("flow", policy, batch)
    slope = motion[:, 0, 0, 4].diff(dim=1)[:, 2:5].mean(dim=1) * (LIMIT * 8) * 64
    # A pixel of the view spans 1/zoom stored pixels and an arrow is zoom times longer: the slope is 1, mirrored too.
    torch.testing.assert_close(slope, torch.ones(40), rtol=0.1, atol=0.05)
    assert motion[:, 0, 1].abs().max() == 0


def test_a_mirrored_view_sees_what_goes_right_go_left_and_what_goes_down_go_down():
    batch = clips(count=40)
    batch = batch._replace(modalities={"flow": torch.full_like(batch.modalities["flow"], 8)})
    _, motion = seen("flow", dataclasses.replace(WHOLE, flip=0.5), batch)
    across, down = motion[..., 8, 8].unbind(2)  # [rows, pictures]
    assert 8 < int((across[:, 0] < 0).sum()) < 32
    assert torch.equal(across, across[:, :1].expand_as(across))
    torch.testing.assert_close(across.abs(), down)


def test_edges_of_a_smaller_picture_are_cut_off_at_fewer_pixels():
    batch = clips()
    flow = torch.zeros_like(batch.modalities["flow"])
    flow[:, :, 0, :, SIDE // 2 :] = 32  # half a pixel, a slope of 1/4 beside the edge
    batch = batch._replace(modalities={"flow": flow})
    _, motion = seen("flow-edges", WHOLE, batch)
    assert motion.max() == pytest.approx(0.25 / (LIMIT * SIDE), rel=1e-4)
    _, motion = seen("flow-edges", WHOLE, batch._replace(modalities={"flow": flow * 8}))
    assert motion.max() == 1


def test_differences_of_frames_need_no_flow():
    batch = clips(channels=3)._replace(modalities={})
    _, motion = seen("frame-difference", dataclasses.replace(WHOLE, frames=None), batch)
    assert motion.shape == (5, FRAMES - 1, 3, SIDE, SIDE)
    assert MotionViews("frame-difference", WHOLE).channels(3) == 3
    assert [
        MotionViews(kind, WHOLE).reads_flow for kind in ("flow", "flow-edges", "frame-difference")
    ] == [1, 1, 0]


def test_a_still_shows_no_motion():
    batch = clips()
    view = dataclasses.replace(WHOLE, frames=1)(batch.pixels, BatchRNG((0,), 5))
    with pytest.raises(LikewiseError, match="--frames 2"):
        MotionViews("flow", WHOLE)(batch, BatchRNG((1,), 5), view)
    with pytest.raises(LikewiseError, match=r"size="):
        _ = MotionViews("flow", dataclasses.replace(WHOLE, size=None)).size
