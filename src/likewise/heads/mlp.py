"""The multi-layer perceptrons between an encoder and a loss."""

from __future__ import annotations

from torch import nn

from likewise.field_types import SIZE, Range, typed_arguments


@typed_arguments(width=SIZE, hidden=SIZE, out=SIZE, layers=SIZE, negative_slope=Range(0, 1))
def mlp(
    width: int,
    hidden: int,
    out: int,
    *,
    layers: int = 2,
    batch_norm: bool = True,
    bias: bool = True,
    negative_slope: float = 0.0,
) -> nn.Sequential:
    """[B, width] -> [B, out]: ``layers`` linear layers with optional batch normalisation and ReLU between them.

    Two layers with batch normalisation are BYOL's projector and predictor; without it, SupCon's and MoCo v2's head.
    One layer is a linear map. ``bias`` is the last layer's; leave it out where the output is normalised. With a
    ``negative_slope`` a LeakyReLU replaces ReLU.
    """
    parts: list[nn.Module] = []
    for _ in range(layers - 1):
        parts.append(nn.Linear(width, hidden, bias=not batch_norm))
        if batch_norm:
            parts.append(nn.BatchNorm1d(hidden))
        if negative_slope:
            parts.append(nn.LeakyReLU(negative_slope, inplace=True))
        else:
            parts.append(nn.ReLU(inplace=True))
        width = hidden
    parts.append(nn.Linear(width, out, bias=bias))
    return nn.Sequential(*parts)


@typed_arguments(width=SIZE, hidden=SIZE, out=SIZE)
def location_mlp(width: int, hidden: int, out: int) -> nn.Sequential:
    """[B, width, s, s] -> [B, out, s, s]: two 1x1 convolutions with ReLU between them, without batch norm.

    The dense head of DenseCL and SetSim.
    """
    return nn.Sequential(
        nn.Conv2d(width, hidden, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(hidden, out, 1),
    )
