from __future__ import annotations

import math

import torch

from likewise.data.batch import Pixels
from likewise.randomness import BatchRNG
from likewise.views.centre_view import CentreView
from likewise.views.motion.flow import (
    flow_colours,
    flow_edges,
    flow_view,
    mean_magnitude,
    normalise_flow,
    relative_motion,
)
from likewise.views.view_policy import ViewPolicy


def naive_edge(flow: torch.Tensor, row: int, column: int) -> float:
    """Length of the four Sobel slopes at an inner pixel [2, H, W], written out."""
    weights = {-1: 1, 0: 2, 1: 1}
    total = 0.0
    for part in flow:
        across = (
            sum(
                w * float(part[row + r, column + 1] - part[row + r, column - 1])
                for r, w in weights.items()
            )
            / 8
        )
        down = (
            sum(
                w * float(part[row + 1, column + c] - part[row - 1, column + c])
                for c, w in weights.items()
            )
            / 8
        )
        total += across**2 + down**2
    return total**0.5


def test_edges_are_sobel_slopes_and_a_panning_camera_has_none():
    flow = torch.randn(1, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    edges = flow_edges(flow, greatest=5.0)
    assert abs(float(edges[0, 0, 4, 3]) - naive_edge(flow[0], 4, 3) / 5) < 1e-6
    assert float(flow_edges(flow + 7.5, greatest=5.0).sub(edges).abs().max()) < 1e-6
    assert float(flow_edges(flow * 1e4).max()) == 1.0


def test_flow_in_a_view_says_where_the_view_s_pixels_go():
    """Two views by one box, of a frame and of the frame moved: the flow's view explains the move between them."""
    size, shift = 64, (3.0, -2.0)
    place = torch.linspace(0, 1, size)
    # Each pixel tells its place.
    ramp = torch.stack([place.expand(size, size), place[:, None].expand(size, size)])
    flow = torch.tensor(shift).view(1, 2, 1, 1).expand(8, 2, size, size)
    policy = ViewPolicy(crop_area=(0.2, 0.9), size=40, flip=0.5)
    view = policy(
        Pixels(torch.zeros(8, 3, size, size, dtype=torch.uint8), torch.ones(8)), BatchRNG((0,), 8)
    )
    seen = flow_view(flow, view.box, 40)
    grid = torch.nn.functional.affine_grid(view.box, [8, 2, 40, 40], align_corners=False)
    places = torch.nn.functional.grid_sample(ramp.expand(8, -1, -1, -1), grid, align_corners=False)
    for row in range(8):
        # Frame pixels a view pixel spans.
        pixel_across = (places[row, 0, 20, 21] - places[row, 0, 20, 20]) * (size - 1)
        pixel_down = (places[row, 1, 21, 20] - places[row, 1, 20, 20]) * (size - 1)
        assert torch.allclose(
            seen[row, 0, 20, 20] * pixel_across, torch.tensor(shift[0]), atol=1e-3
        )
        assert torch.allclose(seen[row, 1, 20, 20] * pixel_down, torch.tensor(shift[1]), atol=1e-3)
    assert len(seen[:, 0, 20, 20].sign().unique()) == 2  # some are mirrored


def test_the_whole_frame_resized_scales_its_arrows():
    flow = torch.full((1, 2, 32, 32), 4.0)
    view = CentreView(16)(Pixels(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.ones(1)))
    assert torch.allclose(flow_view(flow, view.box, 16), torch.full((1, 2, 16, 16), 2.0))


def test_relative_motion_is_what_is_left_of_a_panning_camera():
    flow = torch.zeros(2, 2, 8, 8)
    flow[:, :, 2:5, 2:5] = torch.tensor([3.0, -4.0])[:, None, None]
    camera = torch.tensor([[1.5, 0.5], [-2.0, 7.0]])[:, :, None, None]
    assert torch.allclose(relative_motion(flow + camera), flow, atol=1e-6)
    assert torch.allclose(
        mean_magnitude(relative_motion(flow + camera)), torch.tensor(5.0 * 9 / 64), atol=1e-5
    )


def test_normalised_flow_is_signed_logarithms_of_mean_length_one():
    flow = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(1)) * torch.tensor(
        [0.1, 1, 50]
    ).view(-1, 1, 1, 1)
    flow[1] = 0
    made = normalise_flow(flow)
    for row in (0, 2):
        small = [
            [math.copysign(math.log(1 + abs(v)), v) for v in part.flatten().tolist()]
            for part in flow[row]
        ]
        lengths = [math.hypot(across, down) for across, down in zip(*small, strict=True)]
        expected = torch.tensor(small).view(2, 6, 6) / (sum(lengths) / 36)
        torch.testing.assert_close(made[row], expected, rtol=1e-5, atol=1e-6)
    assert made[1].abs().max() == 0


def test_colours_of_flow_tell_direction_and_strength():
    flow = torch.zeros(1, 2, 2, 2)
    flow[0, 0, 0, 1], flow[0, 0, 1, 0] = 4.0, -4.0
    flow[0, 0, 1, 1] = 2.0
    colours = flow_colours(flow)
    assert colours[0, :, 0, 0].tolist() == [1, 1, 1]
    # To the right: red.
    torch.testing.assert_close(colours[0, :, 0, 1], torch.tensor([1.0, 0.25, 0.25]))
    # Half as far: half as red.
    torch.testing.assert_close(colours[0, :, 1, 1], torch.tensor([1.0, 0.625, 0.625]))
    assert colours[0, 0, 1, 0] < 1e-6  # to the left: no red
