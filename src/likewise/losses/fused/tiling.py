"""How rows are cut into the blocks and tiles of a kernel."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from likewise.gpu_kernels import blocks, power_of_two

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
