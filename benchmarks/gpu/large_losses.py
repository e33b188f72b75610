"""Losses of large batches: each score once or twice, wide rows, and other libraries' losses where they are the same.

Float32 is multiplied as bfloat16 (``torch.set_float32_matmul_precision("medium")``) unless a name says otherwise.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpu.losses import called, measured, our_nt_xent, views
from gpu.section import Clock, OutOfTime, Result, Section, milliseconds
from likewise import losses
from likewise.losses.fused import gpu_sizes
from likewise.losses.fused.tiling import Tiles
from likewise.losses.log_sums import gpu_tiles, gpu_triangle, row_blocks

SCALE = 20.0
"""Of cosines."""
REPEATS = 7


@dataclass(frozen=True)
class Sizes:
    """Small ones try the section on a CPU."""

    rows: tuple[int, ...] = (65536, 16384, 32768, 8192)
    """N, both views counted, in the order of their turns"""
    width: int = 128
    pairs: tuple[int, ...] = (32768, 8192, 65536)
    """of images and texts"""
    wide: int = 768
    """columns of theirs"""
    dense_up_to: int = 32768
    block_scores: tuple[int, ...] = (2**26, 2**24, 2**28)
    widths: tuple[int, ...] = (512, 256)
    cuts: tuple[Tiles, ...] = (
        Tiles(128, 128, 8, 2),
        Tiles(128, 64, 4, 3),
        Tiles(128, 32, 8, 4),
        Tiles(64, 64, 4, 3),
    )


@contextmanager
def products(precision: str) -> Iterator[None]:
    """How float32 is multiplied meanwhile."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def changed(owner: ModuleType, **values: Any) -> Iterator[None]:
    """Other values of a module meanwhile."""
    before = {name: getattr(owner, name) for name in values}
    vars(owner).update(values)
    try:
        yield
    finally:
        vars(owner).update(before)


def forward(loss: Callable[..., Tensor], inputs: list[Tensor]) -> Callable[[], object]:
    """The loss alone."""

    def work() -> object:
        with torch.no_grad():
            return loss(*inputs)

    return work


def triangle(device: torch.device, clock: Clock, sizes: Sizes) -> None:
    """NT-Xent by each score once and by all: `gpu_sizes.TRIANGLE_ROWS`."""
    for count in sizes.rows:
        clock.check()
        inputs = views(count, device, sizes.width)
        found: Result = {}
        clock.found[f"nt_xent N = {count}"] = found
        for name, least in (("each score once", 1), ("all scores", 2**30)):
            # Batches of any size go by `gpu_tiles`.
            sizes_now = changed(gpu_sizes, TRIANGLE_ROWS=(least, 2**30), BATCH_ROWS=0)
            with products("medium"), sizes_now:
                found[name] = measured(called(our_nt_xent, inputs), REPEATS)
                found[f"{name}, forward (ms)"] = milliseconds(forward(our_nt_xent, inputs), REPEATS)
                value = our_nt_xent(*inputs)
                found[f"{name}, the same bits twice"] = torch.equal(value, our_nt_xent(*inputs))
                found[f"{name}, loss"] = float(value)
        print(f"large losses, N = {count}: {json.dumps(found)}", flush=True)
    clock.found["TRIANGLE_ROWS[0]"] = once_from(clock.found, sizes.rows)


def once_from(found: Result, rows: tuple[int, ...]) -> int | None:
    """The fewest rows from which each score once never took longer; None where it did at the most."""
    least = None
    for count in sorted(rows, reverse=True):
        each = found[f"nt_xent N = {count}"]
        if each["each score once"]["ms"] > each["all scores"]["ms"]:
            break
        least = count
    return least


def pairs(count: int, width: int, device: torch.device) -> list[Tensor]:
    """Unit rows of images and of texts in bfloat16, which agree a little."""
    generator = torch.Generator(device).manual_seed(0)
    drawn = torch.randn(2, count, width, device=device, generator=generator)
    drawn[1] += drawn[0]
    return list(F.normalize(drawn, dim=2).bfloat16())


def our_clip(images: Tensor, texts: Tensor) -> Tensor:
    """The library's."""
    return losses.clip_loss(images, texts, SCALE)


def by_memeff(images: Tensor, texts: Tensor) -> Tensor:
    """CLIP's loss by memeff 0.3 (Kindulov 2025), with the gradient of the loss, which it scales by default."""
    from memeff import MemoryEfficientCLIPLoss  # pyright: ignore[reportMissingImports]

    given = {"temperature": 1 / SCALE, "normalized_inputs": True, "stable": False}
    return MemoryEfficientCLIPLoss(**given)(images, texts)  # type: ignore[no-any-return]


def our_one_way(queries: Tensor, keys: Tensor) -> Tensor:
    """InfoNCE of queries against keys, row i with row i."""
    ids = torch.arange(len(queries), device=queries.device)
    return losses.info_nce(queries, keys, ids, ids, 1 / SCALE)


def by_inf_cl(queries: Tensor, keys: Tensor) -> Tensor:
    """The same by inf-cl (Cheng et al. 2024, https://arxiv.org/abs/2410.17243), which computes in TensorFloat-32."""
    from inf_cl import cal_flash_loss  # pyright: ignore[reportMissingImports]

    width = queries.shape[1]
    head = 256 if width % 256 == 0 else width
    return cal_flash_loss(queries, keys, scale=SCALE, head_dim=head).mean()  # type: ignore[no-any-return]


def beside(
    ours: Callable[..., Tensor], peer: Callable[..., Tensor], package: str, inputs: list[Tensor]
) -> Result:
    """A peer's time, and how far its loss and gradients are from ours, in units of ours."""
    if importlib.util.find_spec(package) is None:
        return {"not measured": f"{package} is not installed"}
    found = measured(called(peer, inputs), REPEATS)
    if "ended" not in found:
        found["difference"] = difference(ours, peer, inputs)
    return found


def difference(
    ours: Callable[..., Tensor], peer: Callable[..., Tensor], inputs: list[Tensor]
) -> Result:
    """Relative, of the loss and of the gradient of each input."""
    values: list[Any] = []
    for loss in (ours, peer):
        leaves = [tensor.detach().requires_grad_() for tensor in inputs]
        value = loss(*leaves)
        values.append((value.detach().float(), torch.autograd.grad(value, leaves)))
    (mine, my_gradients), (theirs, their_gradients) = values
    return {
        "loss": float((theirs - mine).abs() / mine.abs()),
        "gradients": [
            float((b.float() - a.float()).norm() / a.float().norm())
            for a, b in zip(my_gradients, their_gradients, strict=True)
        ],
    }


def peers(device: torch.device, clock: Clock, sizes: Sizes) -> None:
    """CLIP's loss and one of its ways at many columns. siglip-kernel's sigmoid loss is none of ours."""
    for count in sizes.pairs:
        clock.check()
        inputs = pairs(count, sizes.wide, device)
        found: Result = {}
        clock.found[f"clip_loss, {count} pairs, D = {sizes.wide}"] = found
        with products("medium"):
            found["likewise"] = measured(called(our_clip, inputs), REPEATS)
            found["memeff"] = beside(our_clip, by_memeff, "memeff", inputs)
        if count <= sizes.dense_up_to:
            found["dense"] = measured(called(half_dense_clip, inputs), REPEATS)
        print(f"large losses, {count} pairs: {json.dumps(found)}", flush=True)
        wide = [side.float() for side in inputs]
        one_way: Result = {}
        clock.found[f"info_nce, {count} x {count}, D = {sizes.wide}, TensorFloat-32"] = one_way
        with products("high"):
            one_way["likewise"] = measured(called(our_one_way, wide), REPEATS)
            one_way["inf-cl"] = beside(our_one_way, by_inf_cl, "inf_cl", wide)
        print(f"large losses, one way: {json.dumps(one_way)}", flush=True)


def half_dense_clip(images: Tensor, texts: Tensor) -> Tensor:
    """As autocast makes it of unit rows: scores in bfloat16, the softmax in float32."""
    scores = (images @ texts.T * SCALE).float()
    partner = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, partner) + F.cross_entropy(scores.T, partner)) / 2


def wide_rows(device: torch.device, clock: Clock, sizes: Sizes) -> None:
    """NT-Xent of many columns, whose scores PyTorch makes."""
    count = sizes.pairs[0]
    with products("medium"):
        found = measured(called(our_nt_xent, views(count, device, sizes.wide)), REPEATS)
    clock.found[f"nt_xent N = {count}, D = {sizes.wide}"] = found
    print(f"large losses, N = {count}, D = {sizes.wide}: {json.dumps(found)}", flush=True)


def blocks(device: torch.device, clock: Clock, sizes: Sizes) -> None:
    """CLIP's loss (ms) by other blocks, `row_blocks.SCORES`, and by kernels, `gpu_sizes.BOTH_WAYS_COLUMNS`."""
    count = sizes.pairs[0]
    inputs = pairs(count, sizes.wide, device)
    found: Result = {}
    clock.found[f"clip_loss, {count} pairs"] = found
    for scores in sizes.block_scores:
        clock.check()
        with products("medium"), changed(row_blocks, SCORES=scores):
            name = f"D = {sizes.wide}, blocks of {scores:,} scores"
            found[name] = milliseconds(called(our_clip, inputs), REPEATS)
    for width in sizes.widths:
        clock.check()
        inputs = pairs(count, width, device)
        for name, least in (("both ways by products", 0), ("each way by kernels", 2**20)):
            with products("medium"), changed(gpu_sizes, BOTH_WAYS_COLUMNS=least):
                found[f"D = {width}, {name}"] = milliseconds(called(our_clip, inputs), REPEATS)
    print(f"large losses, blocks of rows: {json.dumps(found)}", flush=True)


def cuts(device: torch.device, clock: Clock, sizes: Sizes) -> None:
    """Other tiles of the forward by each score once, and of the backward: what to write in `log_sums.launch`."""
    count = sizes.rows[0]
    z = F.normalize(torch.cat(views(count, device, sizes.width)), dim=1) * SCALE**0.5
    bounded = torch.ones((), dtype=torch.int32, device=device)
    log_sums, _ = gpu_triangle.forward(z, None, bounded)
    share = torch.full_like(log_sums, 1 / count)
    for cut in sizes.cuts:
        clock.check()

        def backward(cut: Tiles = cut) -> object:
            return gpu_tiles.backward_square(
                z, gpu_tiles.ITSELF, None, log_sums, None, share, None, cut
            )

        found = {
            "forward (ms)": milliseconds(
                lambda cut=cut: gpu_triangle.forward(z, None, bounded, cut), REPEATS
            ),
            "backward (ms)": milliseconds(backward, REPEATS),
        }
        name = f"{cut.rows} x {cut.columns}, {cut.warps} warps, {cut.stages} stages"
        clock.found[f"tiles of N = {count}, {name}"] = found
        print(f"large losses, {name}: {json.dumps(found)}", flush=True)


def run(device: torch.device, clock: Clock, sizes: Sizes | None = None) -> None:
    """What is aimed at first; other cuts last, since each is compiled."""
    for part in (triangle, peers, wide_rows, blocks, cuts):
        try:
            part(device, clock, sizes or Sizes())
        except OutOfTime:
            raise
        except Exception as error:  # the other parts are still worth asking
            clock.found[f"{part.__name__} ended"] = repr(error)[:500]


SECTION = Section(run, 26.0)
