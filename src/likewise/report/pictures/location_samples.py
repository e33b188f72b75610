"""A few images with their dense features and matched locations, stored in a run's folder for its page."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from likewise.atomic_write import write_arrays
from likewise.data.batch import UNLABELLED, Batch
from likewise.data.columns.masks import NOTHING, Masks
from likewise.data.even_sample import evenly_spaced
from likewise.data.splits import Split
from likewise.encoders.locations import dense_map, flatten_locations
from likewise.evaluation.features import eval_mode
from likewise.evaluation.metrics.segmentation import EXAMPLES, Segmentation, whole
from likewise.evaluation.run_scores import Scored
from likewise.methods import Method, Nets, Progress
from likewise.methods.setsim import SetSim
from likewise.run_folder import RunFolder

PICTURE = 160
"""Pixels along a side of a picture at most."""
SIDE = 8
"""Locations along a side at most, so that they are distinct on a page; a larger map is averaged."""
MATCHED = 4
"""Images whose matches are drawn."""


@torch.no_grad()
def write_locations(run: RunFolder, scored: Scored) -> None:
    """Write ``locations.npz``: images, their dense features and, with masks, the predicted and true segmentation.

    Nothing is written of an encoder that gives pooled features alone.
    """
    split = scored.scored_on
    segmentation = scored.segmentation
    encoder = scored.encoders["trained"]
    size = scored.image_size
    if not encoder.has_map:
        return
    rows = _evenly(len(split.manifest), EXAMPLES) if segmentation is None else segmentation.examples
    pixels = split.images.read(rows)
    with eval_mode(encoder.to(scored.device)):
        _, maps = encoder.forward_with_maps(whole(pixels, size).to(scored.device))
    features = flatten_locations(dense_map(maps, max_side=SIDE))  # [n, L, D]
    content = {
        "images": _bytes(whole(pixels, min(size, PICTURE))),
        "aspect": pixels.aspect.numpy(),
        "features": features.cpu().numpy().astype(np.float16),
    }
    masks = split.manifest.masks
    if segmentation is not None and masks is not None:
        content |= _segmented(segmentation, masks, rows, side=content["images"].shape[1])
    write_arrays(run.locations, **content)


def _segmented(
    segmentation: Segmentation, masks: Masks, rows: Tensor, side: int
) -> dict[str, np.ndarray]:
    """True and predicted classes of the images' pixels, int16 [n, side, side], and the names of the classes."""
    true = [masks.read(row) for row in rows.tolist()]
    largest = NOTHING
    for mask in (*true, *segmentation.predictions):
        largest = max(largest, int(mask.max()))
    return {
        "masks": np.stack([_nearest(mask, side) for mask in true]),
        "predictions": np.stack([_nearest(mask, side) for mask in segmentation.predictions]),
        "mask_names": np.array([masks.name(label) for label in range(largest + 1)], dtype=str),
    }


@torch.no_grad()
def write_matches(
    run: RunFolder,
    method: Method,
    nets: Nets,
    split: Split,
    progress: Progress,
    device: torch.device,
) -> None:
    """Write ``matches.npz``, where the method matches locations: two views of a few images, and the pairs."""
    if not isinstance(method, SetSim):
        return
    rows = _evenly(len(split.manifest), MATCHED)
    pixels, rows = split.images.replaced(rows)  # pictures of training, as training saw it
    batch = Batch(pixels, torch.full_like(rows, UNLABELLED), rows).to(device)
    with eval_mode(nets):
        matched = method.match_views(nets, batch, progress)
    write_arrays(
        run.matches,
        first=_bytes(matched.first.pixels),
        second=_bytes(matched.second.pixels),
        pairs=matched.pairs.cpu().numpy(),
    )


def _evenly(count: int, most: int) -> Tensor:
    return torch.from_numpy(evenly_spaced(count, most))


def _bytes(pixels: Tensor) -> np.ndarray:
    """Float [B, C, S, S] in [0, 1] -> uint8 [B, S, S, C]."""
    levels = pixels.mul(255).round().byte()
    return levels.permute(0, 2, 3, 1).cpu().numpy()


def _nearest(mask: np.ndarray, side: int) -> np.ndarray:
    """A mask of any size as int16 [side, side]: of each pixel the value at its centre."""
    height, width = mask.shape
    centres = (np.arange(side) + 0.5) / side
    rows = (centres * height).astype(np.int64)
    columns = (centres * width).astype(np.int64)
    return mask[rows][:, columns].astype(np.int16)
