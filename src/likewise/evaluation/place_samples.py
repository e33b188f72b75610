"""A few images with what the encoder makes of their places, kept in a run's folder for its page."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED, Batch
from likewise.data.columns.masks import NOTHING
from likewise.encoders import Encoder
from likewise.encoders.locations import as_places, dense_map
from likewise.evaluation.features import frozen
from likewise.evaluation.metrics.segmentation import SHOWN, Segmentation, whole
from likewise.methods import Method, Nets, Progress
from likewise.run_folder import RunFolder
from likewise.training.splits import Split

PICTURE = 160
"""Pixels along a side of a picture at most."""
SIDE = 8
"""Places along a side at most, so that one can be told from the next; a larger map is averaged."""
MATCHED = 4
"""Images whose matches are drawn."""


@torch.no_grad()
def write_places(
    run: RunFolder, encoder: Encoder, size: int, split: Split, segmentation: Segmentation | None, device: torch.device
) -> None:
    """Write ``places.npz``: images, the features of their places and, where there are masks, what was told of them."""
    count = len(split.manifest)
    rows = (
        torch.linspace(0, count - 1, min(SHOWN, count)).round().long() if segmentation is None else segmentation.shown
    )
    pixels = split.images.read(rows)
    with frozen(encoder.to(device)):
        _, maps = encoder.forward_with_maps(whole(pixels, size).to(device))
    content = {
        "images": _bytes(whole(pixels, min(size, PICTURE))),
        "aspect": pixels.aspect.numpy(),
        "features": as_places(dense_map(maps, at_most=SIDE)).cpu().numpy().astype(np.float16),
    }
    masks = split.manifest.masks
    if segmentation is not None and masks is not None:
        side = content["images"].shape[1]
        true = [masks.read(row) for row in rows.tolist()]
        content |= {
            "masks": np.stack([_nearest(mask, side) for mask in true]),
            "predictions": np.stack([_nearest(mask, side) for mask in segmentation.predictions]),
            "mask_names": np.array(
                [masks.name(c) for c in range(_most(true, segmentation.predictions) + 1)], dtype=str
            ),
        }
    np.savez_compressed(run.places, **content)


@torch.no_grad()
def write_matches(
    run: RunFolder, method: Method, nets: Nets, split: Split, progress: Progress, device: torch.device
) -> None:
    """Write ``matches.npz``, where the method matches places: two views of a few images, and the pairs."""
    count = len(split.manifest)
    rows = torch.linspace(0, count - 1, min(MATCHED, count)).round().long()
    batch = Batch(split.images.read(rows), torch.full_like(rows, UNLABELLED), rows).to(device)
    with frozen(nets):
        matched = method.matched(nets, batch, progress)
    if matched is not None:
        np.savez_compressed(
            run.matches,
            first=_bytes(matched.first.pixels),
            second=_bytes(matched.second.pixels),
            pairs=matched.pairs.cpu().numpy(),
        )


def _bytes(pixels: Tensor) -> np.ndarray:
    """Float [B, C, S, S] in [0, 1] -> uint8 [B, S, S, C]."""
    return pixels.mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def _nearest(mask: np.ndarray, side: int) -> np.ndarray:
    """A mask of any size as int16 [side, side], each pixel that of the place's middle."""
    down, across = (((np.arange(side) + 0.5) * length / side).astype(np.int64) for length in mask.shape)
    return mask[down][:, across].astype(np.int16)


def _most(*parts: list[np.ndarray]) -> int:
    return max([NOTHING, *(int(mask.max()) for part in parts for mask in part)])
