"""One layer of batch normalisation in training, forward and backward: the kernels, PyTorch's, and torch.compile's.

Maps as a ResNet-18 has them for 1,024 views of 32 pixels, in bfloat16, channels last. Times are of a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from gpu.section import Clock, Result, Section, copy_speed, graph_milliseconds, take_turns
from likewise.training.batch_norm.fused import fused, plain
from likewise.training.batch_norm.launches import Tiling

PASSES = {"relu": 8, "sum and relu": 11}
"""Readings and writings of a map by the kernels, forward and backward, by what follows the normalisation."""

OTHER_TILINGS = (
    Tiling(numbers=2048, warps=4),
    Tiling(numbers=8192),
    Tiling(columns=32),
    Tiling(programs=512, shares=256),
)

Layer = Callable[[nn.BatchNorm2d, Tensor, "Tensor | None", bool], Tensor]


@dataclass(frozen=True)
class Sizes:
    """Maps; small ones try the section without a GPU."""

    large: tuple[int, int, int, int] = (1024, 64, 32, 32)
    small: tuple[int, int, int, int] = (1024, 512, 4, 4)
    checked: tuple[int, int, int, int] = (64, 100, 7, 9)
    copied: int = 2**30
    """bytes"""


@dataclass(frozen=True)
class Case:
    """A layer, a map, what follows, and a gradient of the result."""

    norm: nn.BatchNorm2d
    x: Tensor
    residual: Tensor | None
    grad: Tensor

    @classmethod
    def of(cls, size: tuple[int, ...], follows: str, device: torch.device) -> Case:
        """Noise, in bfloat16."""
        made = torch.Generator().manual_seed(0)
        maps = [
            torch.randn(size, generator=made)
            .to(device, torch.bfloat16)
            .contiguous(memory_format=torch.channels_last)
            for _ in range(3)
        ]
        norm = nn.BatchNorm2d(size[1], device=device)
        residual = maps[1].requires_grad_() if follows == "sum and relu" else None
        return cls(norm, maps[0].requires_grad_(), residual, maps[2])

    def forward_and_backward(self, layer: Layer) -> list[Tensor]:
        """The result, and the gradients of map, weight, bias and residual."""
        y = layer(self.norm, self.x, self.residual, True)
        inputs = [self.x, self.norm.weight, self.norm.bias]
        inputs += [] if self.residual is None else [self.residual]
        return [y.detach(), *torch.autograd.grad(y, inputs, self.grad)]

    def in_float64(self) -> Case:
        """The same numbers."""
        norm = nn.BatchNorm2d(self.x.shape[1], device=self.x.device, dtype=torch.float64)
        residual = self.residual
        wide = None if residual is None else residual.detach().double().requires_grad_()
        x = self.x.detach().double().requires_grad_()
        return Case(norm, x, wide, self.grad.double())


def error(size: tuple[int, ...], follows: str, device: torch.device) -> Result:
    """Of the kernels, and of PyTorch's layer, over the length in float64: the greatest of result and gradients."""
    case = Case.of(size, follows, device)
    wanted = case.in_float64().forward_and_backward(plain)

    def of(layer: Layer) -> float:
        pairs = zip(case.forward_and_backward(layer), wanted, strict=True)
        return max(float((one - other).norm() / other.norm()) for one, other in pairs)

    return {"kernels": of(fused), "PyTorch": of(plain)}


def timed(size: tuple[int, ...], follows: str, layer: Layer, device: torch.device) -> Result:
    """Milliseconds, and the bytes a second that the kernels' passes come to in that time."""
    case = Case.of(size, follows, device)
    spent = graph_milliseconds(lambda: case.forward_and_backward(layer))
    moved = PASSES[follows] * case.x.numel() * case.x.element_size()
    return {"ms": round(spent, 4), "GB/s of the kernels' passes": round(moved / spent / 1e6, 1)}


def tilings(size: tuple[int, ...], device: torch.device) -> Result:
    """Milliseconds with other cuts."""
    found: Result = {}
    for tiling in OTHER_TILINGS:
        layer = partial(fused, tiling=tiling)
        found[str(tiling)] = timed(size, "sum and relu", layer, device)["ms"]
    return found


def run(device: torch.device, clock: Clock, sizes: Sizes | None = None) -> None:
    """Errors, times, other cuts, and last what compiles."""
    sizes = sizes or Sizes()
    compiled = torch.compile(plain)
    work: dict[str, Callable[[], object]] = {
        "copy, GB/s": lambda: round(copy_speed(device, sizes.copied) / 1e9, 1),
        **{
            f"error, {follows}": partial(error, sizes.checked, follows, device)
            for follows in PASSES
        },
    }
    layers: dict[str, Layer] = {"kernels": fused, "PyTorch": plain}
    maps = (sizes.large, sizes.small)
    for follows in reversed(PASSES):
        for size in maps:
            for name, layer in layers.items():
                work[f"{list(size)}, {follows}, {name}"] = partial(
                    timed, size, follows, layer, device
                )
    for size in maps:
        work[f"{list(size)}, other cuts (ms)"] = partial(tilings, size, device)
    for size in maps:
        name = f"{list(size)}, sum and relu, torch.compile"
        work[name] = partial(timed, size, "sum and relu", compiled, device)
    take_turns("batch norm", work, clock)


SECTION = Section(run, 40.0)
