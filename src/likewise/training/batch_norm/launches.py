"""The kernels' launches: three forward, three backward."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from likewise.gpu_kernels import blocks, kernels, power_of_two

KERNELS = "training.batch_norm.kernels"


class Tiling(NamedTuple):
    """How a map [rows, channels] is cut. NO GPU HAS MEASURED IT YET; `benchmarks/gpu/batch_norm.py` times others."""

    columns: int = 64
    """channels of a program, a power of two"""
    numbers: int = 4096
    """that a program loads of a map at a time, a power of two"""
    warps: int = 8
    programs: int = 1024
    """that share the rows where sums over all rows are wanted"""
    shares: int = 512
    """of the rows, at most; one program merges the sums of all"""


MERGED = 8
"""Channels whose sums one program merges."""


class TiledMap(NamedTuple):
    """A map as the kernels see it."""

    rows: int
    channels: int
    columns: int
    """channels of a program"""
    height: int
    """rows that a program loads at a time"""
    share: int
    """rows that a program sums"""
    warps: int

    @property
    def shares(self) -> int:
        """Programs that share the rows."""
        return blocks(self.rows, self.share)

    @property
    def parts(self) -> int:
        """Blocks of channels."""
        return blocks(self.channels, self.columns)

    @property
    def tiles(self) -> tuple[int, int]:
        """Programs that have one tile each."""
        return blocks(self.rows, self.height), self.parts

    @property
    def sizes(self) -> dict[str, int]:
        """Constants of the kernels that read maps."""
        return {"ROWS": self.height, "COLUMNS": self.columns, "num_warps": self.warps}

    @property
    def merging(self) -> dict[str, int]:
        """Constants of the kernels that merge sums of the shares."""
        return {"SHARES": power_of_two(self.shares), "COLUMNS": MERGED, "num_warps": 4}

    @property
    def merging_programs(self) -> tuple[int]:
        """Programs of those."""
        return (blocks(self.channels, MERGED),)


def tiled(x: Tensor, tiling: Tiling) -> TiledMap:
    """Of a map [N, C, H, W]."""
    channels = x.shape[1]
    rows = x.numel() // channels
    columns = min(tiling.columns, power_of_two(channels))
    height = tiling.numbers // columns
    wanted = min(tiling.shares, max(1, tiling.programs // blocks(channels, columns)))
    share = height * blocks(blocks(rows, height), wanted)  # whole tiles
    return TiledMap(rows, channels, columns, height, share, tiling.warps)


def forward(
    x: Tensor, norm: nn.BatchNorm2d, residual: Tensor | None, relu: bool, tiling: Tiling
) -> tuple[Tensor, Tensor]:
    """The normalised map, with the residual and without negative numbers, and the table that the backward needs.

    The running statistics take in those of the map.

    Args:
        x: [N, C, H, W], channels last, N H W > 1.
        norm: the layer.
        residual: like ``x``, or None.
        relu: whether negative numbers become 0; they do where there is a residual.
        tiling: how to cut.

    Returns:
        Like ``x``, and float32 [4, C]: mean, 1 / standard deviation, that times the weight, bias.
    """
    cut = tiled(x, tiling)
    size = cut.rows, cut.channels
    means, squares = x.new_empty([2, cut.shares, cut.channels], dtype=torch.float32)
    table = x.new_empty([4, cut.channels], dtype=torch.float32)
    y = torch.empty_like(x)
    moving = norm.running_mean, norm.running_var, norm.num_batches_tracked
    with torch.cuda.device_of(x):
        kernels(KERNELS).statistics_kernel[cut.shares, cut.parts](
            x, means, squares, *size, cut.share, **cut.sizes
        )
        kernels(KERNELS).finish_statistics_kernel[cut.merging_programs](
            *(means, squares, norm.weight, norm.bias, *moving, table),
            *(*size, cut.share, cut.shares, norm.eps, float(norm.momentum or 0)),
            **cut.merging,
        )
        kernels(KERNELS).apply_kernel[cut.tiles](
            x, residual, table, y, *size, RELU=relu, RESIDUAL=residual is not None, **cut.sizes
        )
    return y, table


class Gradients(NamedTuple):
    """Of a loss by what `forward` took."""

    x: Tensor | None
    weight: Tensor
    bias: Tensor
    residual: Tensor | None


def backward(
    grad: Tensor,
    x: Tensor,
    y: Tensor | None,
    table: Tensor,
    relu: bool,
    wants_x: bool,
    tiling: Tiling,
) -> Gradients:
    """The gradients.

    Args:
        grad: of what `forward` returned, in its format.
        x: the map.
        y: what `forward` returned where there was a residual, else None.
        table: of `forward`.
        relu: as given there.
        wants_x: whether the gradient of ``x`` is wanted.
        tiling: how to cut.
    """
    cut = tiled(x, tiling)
    size = cut.rows, cut.channels
    sums, products = x.new_empty([2, cut.shares, cut.channels], dtype=torch.float32)
    of_weight, of_bias, *lines = x.new_empty([4, cut.channels], dtype=torch.float32)
    passed = None if y is None else torch.empty_like(x)
    of_x = torch.empty_like(x) if wants_x else None
    with torch.cuda.device_of(x):
        kernels(KERNELS).gradient_sums_kernel[cut.shares, cut.parts](
            *(grad, x, y, table, passed, sums, products, *size, cut.share),
            **{"RELU": relu, "RESIDUAL": y is not None},
            **cut.sizes,
        )
        kernels(KERNELS).finish_gradient_sums_kernel[cut.merging_programs](
            *(sums, products, table, of_weight, of_bias, lines[0], *size, cut.shares),
            **cut.merging,
        )
        if wants_x:
            slope = grad if passed is None else passed
            kernels(KERNELS).input_gradient_kernel[cut.tiles](
                *(slope, x, table, lines[0], of_x, *size),
                RELU=relu and passed is None,
                **cut.sizes,
            )
    return Gradients(of_x, of_weight, of_bias, passed)
