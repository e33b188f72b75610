"""Captions or sounds with the images that they retrieve, stored in a run's folder for its page."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from likewise.atomic_write import write_arrays
from likewise.data.splits import Split
from likewise.evaluation.metrics.retrieval import Retrieved
from likewise.report.pictures.example_pictures import spectrograms, thumbnails
from likewise.run_folder import RunFolder

QUERIES = 5
"""of the best and of the worst queries each, so many are on the page"""
RESULTS = 6
"""images on the page for each query"""


def write_retrieved(run: RunFolder, retrieved: Retrieved, test: Split) -> None:
    """Write ``retrieved.npz``: the best and the worst queries, and the first images that each retrieves."""
    rows = pick_queries(retrieved)
    owner = retrieved.owner[rows]
    rank = retrieved.rank[rows]
    similarity = retrieved.queries[rows] @ retrieved.images.T  # [n, N]
    cosine, found = similarity.topk(min(RESULTS, len(retrieved.images)), dim=1)
    listed = torch.cat([owner[:, None], found], dim=1)  # [n, 1 + RESULTS]
    made = thumbnails(test, retrieved.positions[listed.flatten()])
    pictures = made.get("strips", made["thumbnails"])
    if retrieved.texts is None:
        queries = {"spectrograms": spectrograms(test, retrieved.positions[rows])}
    else:
        captions = [retrieved.texts[row] for row in rows.tolist()]
        queries = {"captions": np.array(captions, dtype=str)}
    write_arrays(
        run.retrieved,
        **queries,
        rank=rank.numpy(),
        right=(found == owner[:, None]).numpy(),
        cosine=cosine.numpy(),
        thumbnails=pictures.reshape(*listed.shape, *pictures.shape[1:]),
        images=np.array(len(retrieved.images)),
    )


def pick_queries(retrieved: Retrieved) -> Tensor:
    """int64 [n]: the queries that rank their image best, then those that rank it worst, at most one of an image."""
    owner = retrieved.owner
    own_cosine = (retrieved.queries * retrieved.images[owner]).sum(dim=1)  # [M]
    order = np.lexsort((-own_cosine.numpy(), retrieved.rank.numpy())).tolist()
    used_images: set[int] = set()
    best_of_images = []
    for query in order:
        if int(owner[query]) not in used_images:
            used_images.add(int(owner[query]))
            best_of_images.append(query)
    worst_from = max(len(best_of_images) - QUERIES, QUERIES)
    return torch.tensor(best_of_images[:QUERIES] + best_of_images[worst_from:])
