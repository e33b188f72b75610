"""A look at all masks before step 0, so that those which do not fit are named now rather than after the run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from likewise.counts import amount
from likewise.data.columns.masks import NOTHING, Masks
from likewise.data.even_sample import evenly_spaced
from likewise.data.manifest import SPLITS, Manifest
from likewise.data.parallel_map import parallel_map
from likewise.errors import LikewiseError

SAMPLE = 500
"""Training masks that are decoded to learn which classes there are; of the others the headers are read."""


class MasksFound(NamedTuple):
    """What the masks of a set hold."""

    with_mask: dict[str, tuple[int, int]]
    """images that have one, and images, by split"""
    classes: dict[int, str]
    """numbers met in a sample of the training masks, and their names"""
    ignore_index: int
    """the value of pixels that belong to no class"""

    def __str__(self) -> str:
        """One line for the first screen."""
        counts = ", ".join(
            f"{some:,} of {all_:,} {name}" for name, (some, all_) in self.with_mask.items()
        )
        numbers = list(self.classes)
        is_consecutive = len(numbers) == numbers[-1] - numbers[0] + 1
        span = f"{numbers[0]} to {numbers[-1]}" if is_consecutive else numbers
        ignored = f"{self.ignore_index} is no class (see --ignore-index)"
        return f"{counts} images have one: {amount(len(numbers), 'class', 'classes')} ({span}); {ignored}"


def look_at_masks(manifest: Manifest) -> MasksFound | None:
    """What the masks of a set hold; None where training or test images have none.

    Raises:
        LikewiseError: a mask that cannot be read, has another size than its image, or a set that shows fewer than two
            classes.
    """
    if manifest.masks is None:
        return None
    try:
        return _look(manifest, manifest.masks)
    except LikewiseError as error:
        raise LikewiseError(f"{error} To go on without masks: --masks none.") from error


def _look(manifest: Manifest, masks: Masks) -> MasksFound | None:
    known = masks.known()
    _refuse_other_sizes(manifest, masks, known)
    splits = manifest.splits
    counts = {}
    for name in SPLITS:
        if name in splits:
            in_split = splits == name
            counts[name] = int(in_split[known].sum()), int(in_split.sum())
    train = known[splits[known] == "train"]
    if not len(train) or not counts.get("test", (0,))[0]:
        return None
    sample = train[evenly_spaced(len(train), SAMPLE)]

    def numbers_in(row: int) -> set[int]:
        return set(np.unique(masks.read(int(sample[row]))).tolist())

    present = set().union(*parallel_map(numbers_in, len(sample)))
    classes = {number: masks.name(number) for number in sorted(present - {NOTHING})}
    if len(classes) < 2:
        found = f"only {', '.join(classes.values())}" if classes else "no class at all"
        raise LikewiseError(
            f"The training masks of {manifest.source} show {found}, and {masks.ignore_index} is no class. Segmentation "
            f"needs two classes: give masks of more, or name the ignored value with --ignore-index."
        )
    return MasksFound(counts, classes, masks.ignore_index)


def _refuse_other_sizes(manifest: Manifest, masks: Masks, known: np.ndarray) -> None:
    sizes = manifest.pixels.headers.sizes
    found = parallel_map(lambda row: masks.size(int(known[row])), len(known))
    for row, size in zip(known.tolist(), found, strict=True):
        image = tuple(sizes[row].tolist())
        if all(image) and image != size:  # 0: the header was not read
            raise LikewiseError(
                f"The mask of {manifest.ids[row]} has {size[0]} x {size[1]} pixels, its image {image[0]} x {image[1]}. "
                f"A mask says the class of every pixel of its image, so both must have one size."
            )
