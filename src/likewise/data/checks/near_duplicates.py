"""Images that show the same picture: re-encoded, resized, brightened, mirrored, turned or cropped copies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from PIL import Image

from likewise.data.checks.block_threads import block_threads
from likewise.data.checks.copy_candidates import candidates
from likewise.data.checks.picture_descriptors import ORIENTATIONS, SIDE, WINDOWS, oriented
from likewise.data.checks.registration import agreement, register

AGREEMENT = 0.83
"""of details, from which two images are copies of one picture"""
STRICT_AGREEMENT = 0.95
"""the same where look-alikes are common, as in a set of garments on black"""
LOOK_ALIKE = 0.6
"""agreement from which an image that is no copy looks alike"""
CROWD = 2
"""look-alikes from which an image is held to the strict agreement"""
CROWDED_SHARE = 0.2
"""share of a set's images that have so many look-alikes, from which all of them are held to it"""
CROPPED_SIDE = 0.97
"""share of the whole below which a side has been cropped"""
PAIRS_AT_ONCE = 256
"""laid over each other at a time: 16 MB of gradients, twice of what a processor's cache holds take a third longer"""

CopyKind = Literal["mirrored", "turned", "cropped", "same"]
"""What was done to a copy: mirrored (perhaps turned and cropped too), turned by quarters (perhaps cropped too),
cropped, or nothing that moves the picture: same (re-encoded, resized, another brightness or contrast)."""
COPY_KINDS: tuple[CopyKind, ...] = get_args(CopyKind)


class Copy(NamedTuple):
    """Two images of one picture."""

    one: int
    other: int
    kind: CopyKind
    agreement: float


@dataclass(frozen=True)
class CopyGroup:
    """All images of one picture."""

    rows: list[int]
    kinds: tuple[CopyKind, ...]
    """what was done to its members, in the order of COPY_KINDS"""


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """uint8 [SIDE, SIDE]: the grey thumbnail by which an image is compared.

    Args:
        pixels: uint8 [H, W] or [H, W, C]; of other channels than RGB their mean is compared.
    """
    is_other = pixels.ndim == 3 and pixels.shape[2] != 3
    if is_other:
        pixels = pixels.mean(axis=2).round().astype(np.uint8)
    gray = Image.fromarray(pixels).convert("L")
    return np.asarray(gray.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def near_duplicates(thumbnails: np.ndarray) -> list[CopyGroup]:
    """Groups of rows that show the same picture.

    A few candidates for each image come from coarse descriptors (:mod:`likewise.data.checks.copy_candidates`); whether
    they are copies is decided after one is laid over the other (:mod:`likewise.data.checks.registration`). Where many
    images of a set look alike, only closer copies count. Copies of copies are of one group. Images of next to no
    detail are copies only where their thumbnails are equal.

    Args:
        thumbnails: uint8 [N, SIDE, SIDE].
    """
    return copy_groups(find_copies(thumbnails))


def find_copies(thumbnails: np.ndarray) -> list[Copy]:
    """Pairs of rows that show the same picture; of images that are equal each is paired with the first alone.

    Args:
        thumbnails: uint8 [N, SIDE, SIDE].
    """
    first, rows = _first_equals(thumbnails)
    copies = []
    for row, equal in enumerate(first.tolist()):
        if equal != row:
            copies.append(Copy(equal, row, "same", 1.0))
    for copy in _copies_of_distinct(thumbnails[rows]):
        copies.append(copy._replace(one=int(rows[copy.one]), other=int(rows[copy.other])))
    return sorted(copies)


def copy_groups(copies: Sequence[Copy]) -> list[CopyGroup]:
    """Images joined by copies, directly or through others."""
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        while parent.setdefault(row, row) != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for copy in copies:
        low, high = sorted((root(copy.one), root(copy.other)))
        parent[high] = low
    members = defaultdict[int, list[int]](list)
    for row in sorted(parent):
        members[root(row)].append(row)
    kinds = defaultdict[int, set[CopyKind]](set)
    for copy in copies:
        kinds[root(copy.one)].add(copy.kind)
    groups = []
    for first, rows in members.items():
        in_order = sorted(kinds[first], key=COPY_KINDS.index)
        groups.append(CopyGroup(rows, tuple(in_order)))
    return groups


def _first_equals(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row the first with an equal thumbnail, and the rows that are first."""
    if not len(thumbnails):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    flat = np.ascontiguousarray(thumbnails).reshape(len(thumbnails), -1)
    contents = flat.view(f"V{SIDE * SIDE}")[:, 0]  # each image as one value
    _, first, group = np.unique(contents, return_index=True, return_inverse=True)
    return first[group], np.sort(first)


def _copies_of_distinct(thumbnails: np.ndarray) -> Iterator[Copy]:
    """Copies among thumbnails of which no two are equal, each pair once."""
    best: dict[tuple[int, int], Copy] = {}
    for copy in _compared(thumbnails):
        pair = (copy.one, copy.other)
        if pair not in best or _preference(copy) > _preference(best[pair]):
            best[pair] = copy
    crowded = _crowded(list(best.values()))
    is_set_crowded = len(crowded) >= CROWDED_SHARE * len(thumbnails)
    for copy in best.values():
        is_strict = is_set_crowded or copy.one in crowded or copy.other in crowded
        if copy.agreement >= (STRICT_AGREEMENT if is_strict else AGREEMENT):
            yield copy


def _crowded(compared: Sequence[Copy]) -> set[int]:
    """Rows that have CROWD look-alikes or more; two crops of one picture are none, as it is a copy of both."""
    groups = copy_groups([copy for copy in compared if copy.agreement >= AGREEMENT])
    picture = {row: group.rows[0] for group in groups for row in group.rows}
    crowd = Counter[int]()
    for copy in compared:
        is_one_picture = picture.get(copy.one, copy.one) == picture.get(copy.other, copy.other)
        if LOOK_ALIKE <= copy.agreement < AGREEMENT and not is_one_picture:
            crowd.update((copy.one, copy.other))
    return {row for row, count in crowd.items() if count >= CROWD}


def _preference(copy: Copy) -> tuple[bool, float]:
    """Among ways to see one image in the other: a picture that is its own mirror image has not been mirrored."""
    is_unmoved = copy.kind in ("same", "cropped") and copy.agreement >= AGREEMENT
    return is_unmoved, copy.agreement


def _compared(thumbnails: np.ndarray) -> Iterator[Copy]:
    """Every candidate with its agreement, whether it is a copy or not."""
    found = candidates(thumbnails)
    some = [found[start : start + PAIRS_AT_ONCE] for start in range(0, len(found), PAIRS_AT_ONCE)]
    with block_threads() as (threads, _):
        for copies in threads.map(partial(_laid_over, thumbnails), some):
            yield from copies


def _laid_over(thumbnails: np.ndarray, pairs: np.ndarray) -> list[Copy]:
    """Some candidates with their agreements."""
    windows = torch.tensor(WINDOWS)
    wholes = upright(thumbnails, pairs["whole"], pairs["whole_orientation"])
    parts = upright(thumbnails, pairs["part"], pairs["part_orientation"])
    window = register(wholes, parts, windows[torch.from_numpy(pairs["window"])])
    agrees = agreement(wholes, parts, window).tolist()
    sides = window[:, 1::2] - window[:, 0::2]  # [P, 2]
    copies = []
    for pair, score, side in zip(pairs, agrees, sides.amin(dim=1).tolist(), strict=True):
        one, other = sorted((int(pair["whole"]), int(pair["part"])))
        kind = _kind(int(pair["turn"]), side)
        copies.append(Copy(one, other, kind, score))
    return copies


def upright(thumbnails: np.ndarray, rows: np.ndarray, orientations: np.ndarray) -> torch.Tensor:
    """float32 [P, SIDE, SIDE]: thumbnails in an orientation each."""
    images = np.empty((len(rows), SIDE, SIDE), np.float32)
    for orientation in np.unique(orientations).tolist():
        chosen = orientations == orientation
        images[chosen] = oriented(thumbnails[rows[chosen]], orientation)
    return torch.from_numpy(images)


def _kind(turn: int, side: float) -> CopyKind:
    if sum(ORIENTATIONS[turn]) % 2:
        return "mirrored"
    if turn:
        return "turned"
    return "cropped" if side < CROPPED_SIDE else "same"
