"""Optical flow in the crop of a view, and quantities computed from flow."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def flow_view(flow: Tensor, box: Tensor, size: int) -> Tensor:
    """The flow inside each box, in the view's own pixels: float [B, 2, H, W] -> [B, 2, size, size].

    Vectors are scaled like the crop, and their x is negated if the view is mirrored.

    Args:
        flow: pixels to the right and pixels down, of the whole frame.
        box: float [B, 2, 3], the view's ``View.box``.
        size: pixels along a side of the view.
    """
    rows, _, height, width = flow.shape
    grid = functional.affine_grid(box.to(flow), [rows, 2, size, size], align_corners=False)
    inside = functional.grid_sample(flow, grid, padding_mode="border", align_corners=False)
    wide = box[:, 0, 0] * width  # negative where mirrored
    high = box[:, 1, 1] * height
    extent = torch.stack([wide, high], dim=1)  # [B, 2], pixels of the frame
    scale = size / extent.to(flow)
    return inside * scale[:, :, None, None]


def flow_edges(flow: Tensor, greatest: float = 10.0) -> Tensor:
    """Edges of flow, float [B, 2, H, W] -> [B, 1, H, W] in [0, 1].

    The norm of the four Sobel derivatives, clamped at ``greatest`` pixels a pixel and divided by it
    (Xiao et al. 2021, https://arxiv.org/abs/2106.09703; the threshold is reconstructed). A panning camera moves all
    pixels equally and gives no edge.
    """
    slope = flow.new_tensor([-1.0, 0.0, 1.0])
    smoothing = flow.new_tensor([1.0, 2.0, 1.0])
    across = smoothing[:, None] * slope / 8  # Sobel's derivative
    kernels = torch.stack([across, across.T])[:, None]
    rows, _, height, width = flow.shape
    padded = functional.pad(flow, (1, 1, 1, 1), mode="replicate")
    planes = padded.reshape(rows * 2, 1, height + 2, width + 2)
    slopes = functional.conv2d(planes, kernels).reshape(rows, 4, height, width)
    norm = slopes.square().sum(dim=1, keepdim=True).sqrt()
    return norm.clamp(max=greatest) / greatest


def relative_motion(flow: Tensor) -> Tensor:
    """Flow [B, 2, H, W] minus the median flow of its image, which is mostly the camera's motion."""
    median = flow.flatten(2).median(dim=2).values  # [B, 2]
    return flow - median[:, :, None, None]


def flow_magnitudes(flow: Tensor) -> Tensor:
    """Length of the flow at each pixel: [B, 2, H, W] -> [B, H, W]."""
    return torch.hypot(flow[:, 0], flow[:, 1])  # many times as fast as a norm over two numbers


def mean_magnitude(flow: Tensor) -> Tensor:
    """Mean length of the flow of each image: [B, 2, H, W] -> [B].

    Of `relative_motion` it is the mean absolute deviation. The median would be zero if less than half of the
    image moves.
    """
    return flow_magnitudes(flow).mean(dim=(1, 2))


def normalise_flow(flow: Tensor) -> Tensor:
    """Flow of any speed on one scale: sign(u) * log(1 + |u|) of both components u, then a mean length of 1.

    A flow of zeros stays zero. Mahendran et al. 2018, https://arxiv.org/abs/1807.05636, take the
    logarithm; the scale is reconstructed.
    """
    small = flow.sign() * flow.abs().log1p()
    mean = mean_magnitude(small).clamp(min=1e-6)
    return small / mean[:, None, None, None]


def flow_colours(flow: Tensor) -> Tensor:
    """Colour images of flow, [B, 2, H, W] -> [B, 3, H, W] in [0, 1].

    The hue shows the direction, and the saturation the length divided by the greatest length of the image; no motion
    is white.
    """
    angle = torch.atan2(flow[:, 1], flow[:, 0])
    length = flow_magnitudes(flow)
    longest = length.amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    saturation = length / longest
    thirds = torch.arange(3, device=flow.device) * (2 * torch.pi / 3)  # of red, green and blue
    from_channel = angle[:, None] - thirds.view(1, 3, 1, 1)  # [B, 3, H, W]
    hue = (1 + torch.cos(from_channel)) / 2
    return 1 - saturation[:, None] * (1 - hue)
