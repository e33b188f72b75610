"""More than two views of an image, some of them in fewer pixels, and their way through the networks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.methods.method import Progress, one_view, two_views
from likewise.views.view_policy import ViewPolicy


def multi_crop(
    policy: ViewPolicy, small: ViewPolicy, count: int, batch: Batch, progress: Progress
) -> dict[str, Tensor]:
    """Views by name: ``first`` and ``second``, and ``small 0``, ``small 1``, ... of fewer pixels.

    Caron et al. 2020 (SwAV), Sec. 3.2, https://arxiv.org/abs/2006.09882.
    """
    first, second = two_views(policy, batch, progress)
    views = {"first": first, "second": second}
    for number in range(count):
        views[f"small {number}"] = one_view(small, batch, progress, f"small view {number}")
    return views


def embed_views(
    encoder: nn.Module, head: nn.Module, views: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The head's rows of each view: views of one size go through the encoder together, all of them through the head."""
    names_by_size: dict[int, list[str]] = {}
    for name, view in views.items():
        names_by_size.setdefault(view.shape[-1], []).append(name)
    order: list[str] = []
    features: list[Tensor] = []
    for names in names_by_size.values():
        order += names
        features.append(encoder(torch.cat([views[name] for name in names])))
    lengths = [len(views[name]) for name in order]
    rows = dict(zip(order, head(torch.cat(features)).split(lengths), strict=True))
    return {name: rows[name] for name in views}
