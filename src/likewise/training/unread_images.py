"""Training images that cannot be decoded: counted and listed while others stand in for them."""

from __future__ import annotations

import torch

from likewise.collectives import any_over_ranks, merged_over_ranks, rank
from likewise.data.images import Images
from likewise.data.manifest import some_files
from likewise.errors import LikewiseError
from likewise.json_files import read_object, write_json
from likewise.run_folder import RunFolder


class UnreadImages:
    """The ids of the images that could not be decoded, each with the reason, over all processes.

    Args:
        images: what is trained on.
        max_bad: share of them above which training stops, 0 to 1.
        folder: where they are listed; None lists them nowhere.
        device: of this process.
    """

    def __init__(
        self, images: Images, max_bad: float, folder: RunFolder | None, device: torch.device
    ) -> None:
        self.images, self.max_bad, self.folder, self.device = images, max_bad, folder, device
        self.found: dict[str, str] = {}
        if folder is not None and folder.unread.exists():
            self.found = read_object(folder.unread, {"unread": dict})["unread"]

    def update(self) -> int:
        """Add what was found since the last call; every process must call it.

        Returns:
            How many images could not be decoded so far.

        Raises:
            LikewiseError: they are more than ``max_bad``.
        """
        is_new = not self.images.unreadable.keys() <= self.found.keys()
        if any_over_ranks(is_new, self.device):
            self.found = merged_over_ranks({**self.found, **self.images.unreadable})
            if self.folder is not None and rank() == 0:
                write_json(self.folder.unread, {"unread": self.found})
            require_few_unread(self.found, len(self.images), self.max_bad, self.folder)
        return len(self.found)


def require_few_unread(
    unread: dict[str, str], images: int, max_bad: float, folder: RunFolder | None = None
) -> None:
    """Refuse to train on a set of which too much cannot be decoded.

    Args:
        unread: ids of those images, each with the reason.
        images: size of the set.
        max_bad: share that is allowed, 0 to 1.
        folder: the run's, which lists them all.

    Raises:
        LikewiseError: more than that share cannot be decoded.
    """
    if len(unread) <= max_bad * images:
        return
    listed = f" All are listed in {folder.unread}." if folder is not None else ""
    raise LikewiseError(
        f"{len(unread):,} of {images:,} training images cannot be decoded ({len(unread) / images:.1%}), more than "
        f"--max-bad {max_bad:g} allows. {some_files(unread)}{listed} Fetch those files again or delete them; or allow "
        f"more, for instance --max-bad {min(2 * len(unread) / images, 1):.2g}."
    )
