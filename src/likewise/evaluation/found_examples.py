"""Texts or sounds beside the images that they found, for the page: those that did best, and those that did worst."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from likewise.evaluation.clip_pictures import thumbnails
from likewise.run_folder import RunFolder
from likewise.training.splits import Split

SHOWN, FOUND = 5, 6
"""Queries on the page, best and worst each, and images beside each of them."""


def picked(queries: Tensor, images: Tensor, owner: Tensor, rank: Tensor) -> Tensor:
    """int64 [n]: the queries that found their image best, then those that did worst, one of an image at most.

    Args:
        queries: unit vectors [M, D].
        images: unit vectors [N, D].
        owner: int64 [M], the image of each query.
        rank: int64 [M], how many images came before that.
    """
    certain = (queries * images[owner]).sum(dim=1)
    order = np.lexsort((-certain.numpy(), rank.numpy()))
    first = {int(owner[i]): int(i) for i in reversed(order.tolist())}  # each image's best query
    by_rank = [i for i in order.tolist() if first[int(owner[i])] == i]
    return torch.tensor([*by_rank[:SHOWN], *by_rank[max(len(by_rank) - SHOWN, SHOWN) :]])


def keep_found(
    run: RunFolder,
    test: Split,
    positions: Tensor,
    images: Tensor,
    asked: dict[str, np.ndarray],
    queries: Tensor,
    owner: Tensor,
    rank: Tensor,
) -> None:
    """Write ``retrieved.npz``.

    Args:
        run: where to.
        test: the images.
        positions: int64 [N], where in the split each image is.
        images: unit vectors [N, D].
        asked: what the queries are, under the name of the array that holds it, n each: ``captions`` str, or ``heard``
            uint8 [n, H, W].
        queries: unit vectors [n, D].
        owner: int64 [n], the image of each query.
        rank: int64 [n], how many images came before that.
    """
    cosine, found = (queries @ images.T).topk(min(FOUND, len(images)), dim=1)
    shown = torch.cat([owner[:, None], found], dim=1)
    made = thumbnails(test, positions[shown.flatten()])
    pictures = made.get("strips", made["thumbnails"])
    np.savez_compressed(
        run.retrieved,
        **asked,  # pyright: ignore[reportArgumentType] -- numpy's stub takes every keyword for one of its own
        rank=rank.numpy(),
        right=(found == owner[:, None]).numpy(),
        cosine=cosine.numpy(),
        thumbnails=pictures.reshape(*shown.shape, *pictures.shape[1:]),
        images=np.array(len(images)),
    )
