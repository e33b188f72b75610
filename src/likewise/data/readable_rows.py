"""The images of a set that can be decoded, where those that cannot are left out of all that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.images import Images
from likewise.data.left_out import require_few_unread, some_files
from likewise.data.manifest import Manifest
from likewise.errors import LikewiseError


def readable_rows(
    manifest: Manifest,
    images: Images,
    labels: Tensor,
    class_names: Sequence[str],
    left_out: Mapping[str, str],
    files: int,
    max_bad: float,
) -> Tensor:
    """Positions of the images that can be decoded, int64 [M]; the others are in ``images.unreadable`` from then on.

    Args:
        manifest: of the images.
        images: N of them.
        labels: int64 [N], -1 where none is visible.
        class_names: of the labels.
        left_out: files that were not opened, each with the reason; they count as unreadable too.
        files: how many files there are, with those.
        max_bad: share of the files, 0 to 1, that may be unreadable.

    Raises:
        FilesLeftOut: more than that share is.
        LikewiseError: no labelled image of some class is left.
    """
    images.find_unreadable()
    unread = images.unreadable
    require_few_unread({**left_out, **unread}, files, max_bad)
    is_read = [name not in unread for name in manifest.ids]
    rows = torch.tensor(is_read, dtype=torch.bool).nonzero().flatten()
    gone = set(labels.tolist()) - set(labels[rows].tolist()) - {UNLABELLED}
    if gone:
        raise LikewiseError(
            f"No labelled image of {class_names[min(gone)]} can be decoded. {some_files(unread)} Fetch those files "
            f"again, or label others."
        )
    return rows
