from __future__ import annotations

import torch

from likewise.data.batch import Pixels
from likewise.randomness import Draws
from likewise.views.flow import flow_edges, flow_view
from likewise.views.policies import CentreView, ViewPolicy


def naive_edge(flow: torch.Tensor, row: int, column: int) -> float:
    """Length of the four Sobel slopes at an inner pixel [2, H, W], written out."""
    weights = {-1: 1, 0: 2, 1: 1}
    total = 0.0
    for part in flow:
        across = sum(w * float(part[row + r, column + 1] - part[row + r, column - 1]) for r, w in weights.items()) / 8
        down = sum(w * float(part[row + 1, column + c] - part[row - 1, column + c]) for c, w in weights.items()) / 8
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
    ramp = torch.stack([place.expand(size, size), place[:, None].expand(size, size)])  # each pixel tells its place
    flow = torch.tensor(shift).view(1, 2, 1, 1).expand(8, 2, size, size)
    policy = ViewPolicy(crop_area=(0.2, 0.9), size=40, flip=0.5)
    view = policy(Pixels(torch.zeros(8, 3, size, size, dtype=torch.uint8), torch.ones(8)), Draws((0,), 8))
    seen = flow_view(flow, view.box, 40)
    grid = torch.nn.functional.affine_grid(view.box, [8, 2, 40, 40], align_corners=False)
    places = torch.nn.functional.grid_sample(ramp.expand(8, -1, -1, -1), grid, align_corners=False)
    for row in range(8):
        pixel_across = (places[row, 0, 20, 21] - places[row, 0, 20, 20]) * (size - 1)  # frame pixels a view pixel spans
        pixel_down = (places[row, 1, 21, 20] - places[row, 1, 20, 20]) * (size - 1)
        assert torch.allclose(seen[row, 0, 20, 20] * pixel_across, torch.tensor(shift[0]), atol=1e-3)
        assert torch.allclose(seen[row, 1, 20, 20] * pixel_down, torch.tensor(shift[1]), atol=1e-3)
    assert len(seen[:, 0, 20, 20].sign().unique()) == 2  # some are mirrored


def test_the_whole_frame_resized_scales_its_arrows():
    flow = torch.full((1, 2, 32, 32), 4.0)
    view = CentreView(16)(Pixels(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.ones(1)))
    assert torch.allclose(flow_view(flow, view.box, 16), torch.full((1, 2, 16, 16), 2.0))
