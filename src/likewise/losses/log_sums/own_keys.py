"""Which tiles have a query with its own key, which it is never compared with: the kernels mask these alone."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from likewise.gpu_kernels import blocks
from likewise.losses.fused.tiling import Tiles


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
