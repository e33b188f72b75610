"""Whether pixels of one object are embedded closer to each other than to the background, by pairs of pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def same_object_auc(embeddings: Tensor, objects: Tensor) -> Tensor:
    """How well the cosine of two pixels separates pairs of one object from pairs of an object and the background.

    The area under the receiver operating characteristic: the chance that a pair of one object has the larger cosine,
    ties counting half. Pairs of two objects and of two background pixels are left out, and so is a pixel with itself.

    Args:
        embeddings: unit vectors [B, N, D] of N pixels of each image.
        objects: int [B, N], the object of each pixel; 0 is background.

    Returns:
        float64 [B], NaN of an image without a pair of either kind.
    """
    cosines = (embeddings @ embeddings.mT).double().cpu()  # [B, N, N]
    areas: list[Tensor] = []
    for of_image, own_objects in zip(cosines, objects.cpu(), strict=True):
        same, different = _pairs(of_image, own_objects)
        areas.append(_area(same, different))
    return torch.stack(areas)


def _pairs(cosines: Tensor, objects: Tensor) -> tuple[Tensor, Tensor]:
    """The cosines of pairs of one object, and of an object and the background."""
    first, second = objects[:, None], objects[None, :]
    # [N, N], each pair in one order alone
    once = torch.ones_like(cosines, dtype=torch.bool).triu(diagonal=1)
    one_object = (first == second) & (first > 0)
    object_and_background = (first > 0) != (second > 0)
    return cosines[once & one_object], cosines[once & object_and_background]


def _area(same: Tensor, different: Tensor) -> Tensor:
    if not len(same) or not len(different):
        return same.new_tensor(torch.nan)
    ordered = different.sort().values
    below = torch.searchsorted(ordered, same)
    not_above = torch.searchsorted(ordered, same, right=True)
    return (below + not_above).double().mean() / (2 * len(different))
