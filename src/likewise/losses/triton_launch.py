"""How the kernels of `triton_kernels` are cut to a GPU, and started."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
import time
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from likewise.gpu_kernels import power_of_two

log = logging.getLogger("likewise")

MOST_COLUMNS = 2048
"""D, up to which the losses of few launches go; a row lies in the registers of the program that makes its gradient."""

PART = 256
"""Columns of rows that a program holds, with the gradient of as many; wider rows are shared by several programs, each
of which makes the scores of all columns."""

PROGRAMS = 2
"""For each processor, so that one computes while the other waits; NO GPU HAS MEASURED IT YET."""


class Tiles(NamedTuple):
    """How one kernel is cut."""

    rows: int
    """that a program holds; a power of two from 16 up, as is ``columns``"""
    columns: int
    """that it meets at a time"""
    warps: int = 4
    stages: int = 2
    """tiles in shared memory at a time, so that loading runs ahead"""
    splits: int | None = None
    """programs that share the columns of a block; None: so many that every processor has work"""


def spans(
    own: Tensor | None, tiles: Tiles, rows: int, columns: int, roles: tuple[bool, bool]
) -> Tensor | None:
    """Where a block of outer rows has pairs to leave out: int32 [blocks, 2], its first such tile, and past the last.

    Args:
        own: int32, the key of each query.
        tiles: how outer rows and inner columns are cut.
        rows: of the outer side.
        columns: of the inner side.
        roles: whether the outer rows are queries, and whether they are keys.

    Returns:
        Equal numbers where a block has none; None without ``own``.
    """
    if own is None:
        return None
    query = torch.arange(len(own), device=own.device)
    key = own.long()
    are_queries, are_keys = roles
    # The outer and the inner row of each pair that is left out.
    pairs = []
    if are_queries:
        pairs.append((query, key))
    if are_keys:
        pairs.append((key, query))
    outer, inner = map(torch.cat, zip(*pairs, strict=True))
    given = (outer >= 0) & (inner >= 0)
    block = outer.clamp(min=0) // tiles.rows
    tile = inner // tiles.columns
    first = tile.new_full([blocks(rows, tiles.rows)], columns)
    after = torch.zeros_like(first)
    after.scatter_reduce_(0, block, torch.where(given, tile + 1, 0), "amax")
    first.scatter_reduce_(0, block, torch.where(given, tile, columns), "amin")
    return torch.stack([first.minimum(after), after], dim=1).int()


def own_keys(count: int, device: torch.device) -> Tensor:
    """Each row's own key where rows are compared with each other: int32 [count], made once."""
    return _made_once(_own_keys, count, device)


@functools.lru_cache(maxsize=16)
def _own_keys(count: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.arange(count, dtype=torch.int32, device=device)


def own_spans(tiles: Tiles, rows: int, device: torch.device) -> Tensor:
    """`spans` where each row's own key has its index, whatever the roles, made once."""
    return _made_once(_own_spans, tiles.rows, tiles.columns, rows, device)


@functools.lru_cache(maxsize=64)
def _own_spans(height: int, width: int, rows: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        start = torch.arange(0, rows, height, dtype=torch.int32, device=device)  # of each block
        last = (start + height).clamp(max=rows) - 1
        return torch.stack([start // width, last // width + 1], dim=1)


def _made_once(make: functools._lru_cache_wrapper[Tensor], *arguments: Any) -> Tensor:
    """What a cached function makes; made anew in a CUDA graph, whose tensors are filled by its replay alone."""
    if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
        return make.__wrapped__(*arguments)
    return make(*arguments)


# The two tables were chosen by what fits, not by a clock: NO GPU HAS MEASURED THEM YET. Registers and shared memory are
# as the compiler reports them for capability 9.0; in half precision up to D = 128 two programs of the forward fit one
# processor, so that one's exponentials run during the other's products. `on_gpu.py --only large_losses` times others.


def forward_tiles(queries: Tensor) -> Tiles:
    """For the log-sums."""
    is_wide = padded(queries.shape[1]) > 256
    if is_wide or queries.element_size() == 4:
        return Tiles(64, 64, 4, 2)
    return Tiles(128, 64, 8, 3)


def backward_tiles(outer: Tensor) -> Tiles:
    """For the gradient of ``outer``."""
    # The gradient [rows, D] stays in registers with the tile of scores, so wide rows come in fewer.
    if outer.element_size() == 4:
        return Tiles(32, 32, 4, 2)
    is_wide = padded(outer.shape[1]) > 128
    return Tiles(64, 32, 8, 2) if is_wide else Tiles(128, 64, 8, 3)


def filled(
    tiles: Tiles,
    outer: Tensor,
    inner: Tensor,
    programs: int = 1,
    item_size: int | None = None,
    parts: int = 1,
) -> Tiles:
    """Tiles that fit the GPU's shared memory, and more splits where there are fewer blocks than processors.

    Args:
        tiles: as they are wanted.
        outer: [rows, D], the side of which a program holds a block.
        inner: [columns, D].
        programs: wanted for each processor.
        item_size: bytes of a number once it is loaded; those of ``outer`` if None.
        parts: programs that share the columns of rows.
    """
    if not outer.is_cuda:
        return tiles if tiles.splits else tiles._replace(splits=1)
    device = torch.cuda.get_device_properties(outer.device)
    item_size = item_size or outer.element_size()
    held = blocks(outer.shape[1], parts)
    tiles = fitting(tiles, held, item_size, device.shared_memory_per_block_optin)
    if tiles.splits:
        return tiles
    wanted = programs * device.multi_processor_count // (blocks(len(outer), tiles.rows) * parts)
    most = blocks(len(inner), tiles.columns)
    return tiles._replace(splits=max(1, min(wanted, most)))


def fitting(tiles: Tiles, width: int, item_size: int, shared_memory: int) -> Tiles:
    """Fewer stages, columns, rows, in this order, until tiles of rows [width] lie in so many bytes of shared memory."""
    row = padded(width) * item_size
    overhead = 8192  # weights, ids and barriers
    while True:
        held = tiles.rows + tiles.stages * tiles.columns
        if item_size == 4:
            held += tiles.rows + tiles.columns  # what TensorFloat-32 leaves over
        if row * held + overhead <= shared_memory:
            return tiles
        if tiles.stages > 2:
            tiles = tiles._replace(stages=tiles.stages - 1)
        elif tiles.columns > 16 and tiles.columns >= tiles.rows:
            tiles = tiles._replace(columns=tiles.columns // 2)
        else:
            tiles = tiles._replace(rows=tiles.rows // 2)


def launch(
    name: str,
    tiles: Tiles,
    outer: Tensor,
    arguments: tuple[Any, ...],
    file: str = "triton_kernels",
    **flags: bool | int,
) -> None:
    """Start a kernel on the device of ``outer``, one program for each block of its rows and each split."""
    kernel: Any = getattr(kernels(file), name)
    grid = (blocks(len(outer), tiles.rows), tiles.splits)
    start = time.perf_counter()
    with torch.cuda.device_of(outer):
        kernel[grid](
            *arguments,
            D=outer.shape[1],
            WIDTH=padded(outer.shape[1]),
            ROWS=tiles.rows,
            COLUMNS=tiles.columns,
            PRECISION=float32_products() if outer.dtype == torch.float32 else "ieee",
            num_warps=tiles.warps,
            num_stages=tiles.stages,
            enable_fp_fusion=True,
            **flags,
        )
    took = time.perf_counter() - start
    if took > 1 and outer.is_cuda:  # a launch does not wait for the GPU, so this was the compiler
        log.warning(
            "Compiled a GPU kernel in %.0f s; Triton keeps it on disk for the next run.", took
        )


def blocks(count: int, height: int) -> int:
    """Blocks of so many rows each that hold all rows."""
    return -(-count // height)


def float32_products() -> str:
    """How Triton multiplies float32: by three products in TensorFloat-32, or by one where PyTorch's setting allows it.

    Three make one of float32, on tensor cores. "ieee" would leave them: compiled for capability 9.0, D = 128, it takes
    20 s and spills 7 KB of registers a thread.
    """
    return "tf32x3" if torch.get_float32_matmul_precision() == "highest" else "tf32"


@functools.cache
def kernels(file: str) -> ModuleType:
    """A file of kernels, imported here, since it needs Triton, and since its import takes long."""
    return importlib.import_module(f"likewise.losses.{file}")


def interpreted() -> bool:
    """Whether the kernels run through Triton's interpreter, on the CPU."""
    if os.environ.get("TRITON_INTERPRET", "0") == "0" or importlib.util.find_spec("triton") is None:
        return False
    return bool(kernels("triton_blocks").INTERPRETED.value)


def parts_of(width: int) -> tuple[int, int]:
    """Columns that a program holds of rows so wide, and how many programs share a row."""
    held = min(padded(width), PART)
    return held, blocks(width, held)


def height(width: int, most: int) -> int:
    """Rows so wide that a program holds whole: a power of two, fewer where they are wide."""
    return max(1, min(most, 2048 // padded(width)))


def padded(columns: int) -> int:
    """The next power of two that a tensor core takes."""
    return power_of_two(columns, 16)
