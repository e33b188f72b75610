"""Training images that cannot be read: counted and listed, while others stand in for those found in training."""

from __future__ import annotations

import torch

from likewise.collectives import any_over_ranks, merged_over_ranks, rank
from likewise.data.images import Images
from likewise.data.left_out import require_few_unread
from likewise.json_files import read_object, write_json
from likewise.run_folder import RunFolder
from likewise.training.loop_settings import LoopSettings


class UnreadImages:
    """The ids of the images that could not be read, each with the reason, over all processes.

    Args:
        images: what is trained on.
        settings: the share of them above which training stops, and those that were found when the set was opened.
        folder: where they are listed; None lists them nowhere.
        device: of this process.
    """

    def __init__(
        self,
        images: Images,
        settings: LoopSettings,
        folder: RunFolder | None,
        device: torch.device,
    ) -> None:
        self.images, self.settings, self.folder, self.device = images, settings, folder, device
        self.found: dict[str, str] = {}
        if folder is not None and folder.unread.exists():
            self.found = read_object(folder.unread, {"unread": dict})["unread"]

    def update(self) -> int:
        """Add what was found since the last call; every process must call it.

        Returns:
            How many images could not be read so far.

        Raises:
            FilesLeftOut: they are more than ``max_bad``.
        """
        known = {**self.settings.left_out, **self.images.unreadable}
        if any_over_ranks(not known.keys() <= self.found.keys(), self.device):
            self.found = merged_over_ranks({**self.found, **known})
            if self.folder is not None and rank() == 0:
                write_json(self.folder.unread, {"unread": self.found})
            files = len(self.images) + len(self.settings.left_out)
            listed_in = self.folder.unread if self.folder is not None else None
            require_few_unread(self.found, files, self.settings.max_bad, listed_in)
        return len(self.found)
