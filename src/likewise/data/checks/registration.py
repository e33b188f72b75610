"""Two thumbnails laid over each other: which part of one is the other, and how well do their details agree."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.data.checks.picture_descriptors import SIDE, cosines, whitening

STEPS = 5
"""of Gauss-Newton; from the nearest window a thumbnail is met to a tenth of a pixel by then"""
DETAIL = 16
"""frequencies along each axis whose agreement is measured: all that half the thumbnail's pixels can hold"""
BLOCKS = 8
"""along each axis, of those whose details are compared one by one"""
NOISE = 3.0
"""grey levels: of details weaker than this, compression leaves little"""
LEAST_WEIGHT = 1.0
"""added to the blocks' weights in all, about one block's, so that images of no detail agree with none"""
SMALLEST, LARGEST = 0.8, 1.02
"""sides of the part, as shares of the whole"""


def register(whole: Tensor, part: Tensor, window: Tensor) -> Tensor:
    """[P, 4]: top, bottom, left and right of the part in the whole, refined by least squares.

    Gauss-Newton on standardised brightness (Lucas and Kanade 1981, section 4; Baker and Matthews 2004, section 2,
    https://doi.org/10.1023/B:VISI.0000011205.11775.fd), with the four sides of a window as parameters.

    Args:
        whole: [P, SIDE, SIDE] thumbnails in grey levels.
        part: [P, SIDE, SIDE], of which each is looked for in its whole.
        window: [P, 4] where to begin.
    """
    target = _standard(part)
    down, right = _slopes(whole)
    # How much the far side of the window moves each position.
    end = (torch.arange(SIDE) + 0.5) / SIDE
    for _ in range(STEPS):
        vertical, horizontal = _resamplings(window)
        seen = _resampled(whole, vertical, horizontal)
        along_y = _resampled(down, vertical, horizontal)
        along_x = _resampled(right, vertical, horizontal)
        by_top = along_y * (1 - end)[:, None]
        by_bottom = along_y * end[:, None]
        by_left = along_x * (1 - end)
        by_right = along_x * end
        moves = torch.stack([by_top, by_bottom, by_left, by_right], dim=1)  # [P, 4, SIDE, SIDE]
        scale = seen.std(dim=(1, 2)).clamp(min=1e-3)
        jacobian = moves.flatten(2) / scale[:, None, None]  # [P, 4, SIDE²]
        jacobian = jacobian - jacobian.mean(dim=2, keepdim=True)
        residual = (target - _standard(seen)).flatten(1)  # [P, SIDE²]
        # [P, 4, 4]; eye: flat images do not move
        normal = jacobian @ jacobian.transpose(1, 2) + torch.eye(4)
        step = torch.linalg.solve(normal, jacobian @ residual[:, :, None])[:, :, 0]
        window = _inside(window + step.clamp(-0.05, 0.05))
    return window


def agreement(whole: Tensor, part: Tensor, window: Tensor) -> Tensor:
    """[P]: how well the details of a part agree with those of its window, at most 1.

    The mean over BLOCKS x BLOCKS blocks of a correlation that also asks for equal strength. Strong edges count only by
    the logarithm of their energy: garments on black share their outlines, and only copies share what is within. Where
    there is next to no detail nothing agrees, so that blank pages are no copies of each other.

    Args:
        whole: [P, SIDE, SIDE] thumbnails in grey levels.
        part: [P, SIDE, SIDE].
        window: [P, 4] from :func:`register`.
    """
    seen = _details(_resampled(whole, *_resamplings(window)))  # [P, SIDE, SIDE]
    shown = _details(part)
    seen_strength = seen.std(dim=(1, 2)).clamp(min=1e-3)  # [P]
    shown_strength = shown.std(dim=(1, 2)).clamp(min=1e-3)
    strength = (seen_strength * shown_strength).sqrt()  # copies may have another contrast
    one = _blocks(seen * (strength / seen_strength)[:, None, None])  # [P, BLOCKS², pixels]
    other = _blocks(shown * (strength / shown_strength)[:, None, None])
    energy = torch.maximum(one.square().mean(dim=2), other.square().mean(dim=2))  # [P, BLOCKS²]
    correlation = (one * other).mean(dim=2) / energy.clamp(min=1e-6)
    weight = torch.log1p(energy / NOISE**2)
    return (correlation * weight).sum(dim=1) / (weight.sum(dim=1) + LEAST_WEIGHT)


def _details(images: Tensor) -> Tensor:
    """[P, SIDE, SIDE]: images without what is coarse, by whitened frequencies."""
    basis = torch.from_numpy(cosines(DETAIL))
    weights = torch.from_numpy(whitening(DETAIL))
    spectra = basis @ images @ basis.T * (weights / weights.max())
    return basis.T @ spectra @ basis


def _blocks(images: Tensor) -> Tensor:
    """[P, BLOCKS², pixels of a block]."""
    size = SIDE // BLOCKS
    blocks = images.unfold(1, size, size).unfold(2, size, size)  # [P, BLOCKS, BLOCKS, size, size]
    return blocks.reshape(len(images), BLOCKS**2, size**2)


def _standard(images: Tensor) -> Tensor:
    middle = images.mean(dim=(1, 2), keepdim=True)
    deviation = images.std(dim=(1, 2), keepdim=True)
    return (images - middle) / deviation.clamp(min=1e-3)


def _slopes(images: Tensor) -> tuple[Tensor, Tensor]:
    """Change of grey level along the height and along the width, per side of the image."""
    down, right = torch.gradient(images, dim=(1, 2))
    return down * SIDE, right * SIDE


def _resamplings(window: Tensor) -> tuple[Tensor, Tensor]:
    """Down and across, each [P, SIDE, SIDE], to windows [P, 4]."""
    top, bottom, left, right = window.unbind(dim=1)
    return _resampling(top, bottom), _resampling(left, right)


def _resampling(low: Tensor, high: Tensor) -> Tensor:
    """[P, SIDE, SIDE]: as :func:`~likewise.data.checks.picture_descriptors.resampling`, one for each pair."""
    centres = (torch.arange(SIDE) + 0.5) / SIDE
    positions = (low[:, None] + centres * (high - low)[:, None]) * SIDE - 0.5  # [P, SIDE]
    positions = positions.clamp(0, SIDE - 1)
    distance = (positions[:, :, None] - torch.arange(SIDE)).abs()  # [P, SIDE, SIDE]
    return (1 - distance).clamp(min=0)


def _resampled(images: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    return vertical @ images @ horizontal.transpose(1, 2)


def _inside(window: Tensor) -> Tensor:
    """Windows that keep to the sizes and the places that are allowed."""
    near = window[:, 0::2].clamp(-0.02, 0.2)  # [P, 2]: top and left
    far = window[:, 1::2]  # [P, 2]: bottom and right
    far = torch.minimum(torch.maximum(far, near + SMALLEST), near + LARGEST)
    far = far.clamp(max=1.02)
    return torch.stack([near, far], dim=2).flatten(1)  # top, bottom, left, right
