"""Do the pixels of one object lie closer to each other than to the background? Asked of pairs of pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def same_object_auc(embeddings: Tensor, objects: Tensor) -> Tensor:
    """How well the cosine of two pixels tells whether both show one object, or one of them the background.

    The area under the receiver operating characteristic: the chance that a pair of one object has the larger cosine,
    ties counting half. Pairs of two objects and of two background pixels are left out, and so is a pixel with itself.

    Args:
        embeddings: unit vectors [B, N, D] of N pixels of each image.
        objects: int [B, N], which object each of them shows; 0 is background.

    Returns:
        float64 [B], NaN of an image without a pair of either kind.
    """
    cosines = (embeddings @ embeddings.mT).double().cpu()
    return torch.stack([_area(*_pairs(each, shown)) for each, shown in zip(cosines, objects.cpu(), strict=True)])


def _pairs(cosines: Tensor, objects: Tensor) -> tuple[Tensor, Tensor]:
    """The cosines of pairs of one object, and of an object and the background."""
    first, second = objects[:, None], objects[None, :]
    once = torch.ones_like(cosines, dtype=torch.bool).triu(diagonal=1)
    return cosines[once & (first == second) & (first > 0)], cosines[once & ((first > 0) != (second > 0))]


def _area(alike: Tensor, unlike: Tensor) -> Tensor:
    if not len(alike) or not len(unlike):
        return alike.new_tensor(torch.nan)
    ordered = unlike.sort().values
    below, not_above = (torch.searchsorted(ordered, alike, right=right) for right in (False, True))
    return (below + not_above).double().mean() / (2 * len(unlike))
