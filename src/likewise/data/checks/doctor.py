"""What is wrong with a set of images, found before step 0, and what to do about it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from likewise.data.batch import UNLABELLED
from likewise.data.checks.near_duplicates import COPY_KINDS, CopyGroup, CopyKind, near_duplicates, thumbnail
from likewise.data.checks.picture_descriptors import SIDE
from likewise.data.manifest import Manifest, class_counts, named_as_missing, nearly_the_same
from likewise.data.parallel_map import parallel_map
from likewise.data.pixel_kinds import Kind, kind_of
from likewise.data.pixel_range import RangedPixels
from likewise.data.pixel_source import UnreadableImage

TINY = 16
"""shorter side in pixels below which an image shows next to nothing"""
FLAT = 4
"""range of grey levels, of 255, below which a thumbnail counts as blank"""
DIM = 12
"""part of its set's range that an image must reach; 12-bit images reach a sixteenth of the range of 16 bits"""
NARROW = 32
"""grey levels of 255 within which all images of a set lie if its range is wrong"""
ODD_SHARE = 0.05
"""share of the set below which a kind of pixels is odd"""

COPY_NAMES: dict[CopyKind, str] = {
    "same": "near copy",
    "cropped": "cropped copy",
    "turned": "turned copy",
    "mirrored": "mirrored copy",
}
COPY_MEANINGS: dict[CopyKind, str] = {
    "same": "almost the same picture more than once: counted as different images, pushed apart",
    "cropped": "a part of a picture next to the picture: counted as different images, pushed apart",
    "turned": "a picture turned by quarters next to the picture: counted as different images, pushed apart",
    "mirrored": "a picture and its mirror image: counted as different images, pushed apart",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    name: str
    """what it is, in a word or two"""
    groups: tuple[tuple[str, ...], ...]
    """ids concerned, some with what is wrong in brackets; those of one group belong together (copies, say)"""
    meaning: str
    """what it does to training or to the scores"""
    remedy: str
    """what to do, in one line"""
    details: tuple[str, ...] = ()
    """of copies, for each group: what was done to them and which splits they are in, ``mirrored; test, train``"""

    @property
    def count(self) -> int:
        """How many groups."""
        return len(self.groups)


@dataclass(frozen=True)
class Findings:
    """Everything that was found, the worst first."""

    images: int
    """images that were looked at"""
    found: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    """how the source was understood where it could be taken in more than one way"""

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.found


class _Look(NamedTuple):
    """What decoding one image found."""

    digest: bytes
    thumbnail: np.ndarray
    low: int
    high: int
    """the least and the greatest of its 8-bit values"""
    is_constant: bool
    """whether all pixels are of one value, or of one colour"""
    peak: float | None
    """the greatest value in its file, where that has more than 8 bits"""
    kind: Kind
    """of the pixels in its file"""

    @property
    def is_visible(self) -> bool:
        """Whether there is enough to be seen in it for a comparison."""
        return int(self.thumbnail.max()) - int(self.thumbnail.min()) > FLAT


def examine(manifest: Manifest) -> Findings:
    """Decode every image once and report what is wrong with the set.

    Looks for files that are no image or cannot be decoded, tiny images, exact and near copies, copies in training and
    test ("leaks"), copies with different labels, classes of one image, and pixels of an odd kind. Copies may be
    mirrored, turned, cropped, re-encoded or brightened, see :mod:`likewise.data.checks.near_duplicates`. Groups of
    copies that span splits come first, then those with different labels.
    """
    looks = list(parallel_map(lambda row: _look(manifest, row), len(manifest)))
    copies = _copies(looks)
    return Findings(
        images=len(manifest) + len(manifest.skipped),
        found=tuple(finding for finding in _findings(manifest, looks, copies) if finding.groups),
        notes=manifest.notes,
    )


def _look(manifest: Manifest, row: int) -> _Look | str:
    """One image, or why it cannot be decoded."""
    source, peak, kind = manifest.pixels, None, "8 bits"
    try:
        if isinstance(source, RangedPixels):
            deep = source.source.read(row).pixels
            source.require_inside(deep, row)
            kind = kind_of(deep)
            peak = float(np.nanmax(deep)) if kind != "8 bits" else None
            pixels = source.range.to_bytes(deep)
        else:
            pixels = source.read(row).pixels
    except UnreadableImage as error:
        return str(error)
    digest = hashlib.blake2b(f"{pixels.shape} ".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    is_constant = bool((pixels == pixels[0, 0]).all())
    return _Look(digest.digest(), thumbnail(pixels), int(pixels.min()), int(pixels.max()), is_constant, peak, kind)


def _reason(look: str) -> str:
    """Why an image could not be read, without its path."""
    return look.rpartition(": ")[2]


def _copies(looks: Sequence[_Look | str]) -> list[CopyGroup]:
    """Groups of rows that show the same picture."""
    rows = [i for i, look in enumerate(looks) if isinstance(look, _Look) and look.is_visible]
    seen = [look for look in looks if isinstance(look, _Look) and look.is_visible]
    thumbnails = np.array([look.thumbnail for look in seen], np.uint8).reshape(-1, SIDE, SIDE)
    return [CopyGroup([rows[i] for i in group.rows], group.kinds) for group in near_duplicates(thumbnails)]


def _findings(manifest: Manifest, looks: Sequence[_Look | str], copies: Sequence[CopyGroup]) -> Iterator[Finding]:
    found = enumerate(looks)
    unreadable = [f"{manifest.ids[row]} ({_reason(look)})" for row, look in found if isinstance(look, str)]
    left_out = [f"{entry.id} ({entry.reason})" for entry in manifest.skipped]
    yield Finding(
        "unusable file", tuple((file,) for file in left_out + unreadable),
        "not an image, empty or cut short: left out, or replaced by a neighbour while training",
        "Fetch these files again, or delete them.",
    )  # fmt: skip
    yield from _about_copies(manifest, looks, copies)
    yield from _about_values(manifest, looks)
    yield from _about_shape(manifest)
    yield from _about_classes(manifest)


def _about_copies(manifest: Manifest, looks: Sequence[_Look | str], copies: Sequence[CopyGroup]) -> Iterator[Finding]:
    labels = manifest.labels.tolist()
    splits = manifest.splits.tolist()

    def is_leak(group: CopyGroup) -> bool:
        return len({splits[row] for row in group.rows}) > 1

    def is_at_odds(group: CopyGroup) -> bool:
        return len({labels[row] for row in group.rows} - {UNLABELLED}) > 1

    def finding(name: str, groups: Sequence[CopyGroup], meaning: str, remedy: str) -> Finding:
        ids = tuple(tuple(manifest.ids[row] for row in group.rows) for group in groups)
        details = tuple(
            f"{_done(looks, group)}; {', '.join(sorted({splits[row] for row in group.rows}))}" for group in groups
        )
        return Finding(name, ids, meaning, remedy, details)

    worst_first = sorted(copies, key=lambda group: (not is_leak(group), not is_at_odds(group)))
    yield finding(
        "leak", [group for group in copies if is_leak(group)],
        "the same picture in training and in validation or test: the scores are too good",
        "Delete the copy from the training split.",
    )  # fmt: skip
    yield finding(
        "copies at odds", [group for group in copies if is_at_odds(group)],
        "the same picture with different labels: at least one label is wrong", "Look at each group and keep one label.",
    )  # fmt: skip
    yield finding(
        "exact copy", [group for group in worst_first if _same(looks, group.rows)],
        "the same pixels more than once: counted as different images, pushed apart", "Keep one file of each group.",
    )  # fmt: skip
    for kind in reversed(COPY_KINDS):
        of_kind = [group for group in worst_first if group.kinds[0] == kind and not _same(looks, group.rows)]
        yield finding(COPY_NAMES[kind], of_kind, COPY_MEANINGS[kind], "Keep the best file of each group.")


def _done(looks: Sequence[_Look | str], group: CopyGroup) -> str:
    """What was done to the copies of a group."""
    return "exact" if _same(looks, group.rows) else ", ".join(group.kinds)


def _about_values(manifest: Manifest, looks: Sequence[_Look | str]) -> Iterator[Finding]:
    ids, found = manifest.ids, manifest.pixel_range
    seen = {row: look for row, look in enumerate(looks) if isinstance(look, _Look)}
    constant = [row for row, look in seen.items() if look.is_constant]
    yield Finding(
        "constant image", tuple((ids[row],) for row in constant),
        "all pixels have one value: there is nothing to be learned from it",
        "Delete these files, or fetch them again.",
    )  # fmt: skip
    low = min((look.low for look in seen.values()), default=0)
    high = max((look.high for look in seen.values()), default=255)
    is_narrow = 0 < high - low < NARROW and len(constant) < len(seen)
    yield Finding(
        "narrow range", ((f"{manifest.source}: {low} to {high} of 255",),) if is_narrow else (),
        "all images together use a small part of the grey levels: they look black, and detail is lost in rounding",
        "Give the values that are to be black and white: --pixel-range LOW HIGH; or save 8-bit images with contrast.",
    )  # fmt: skip
    if found is None:
        return
    kinds = Counter(look.kind for look in seen.values())
    rare = [row for row, look in seen.items() if look.kind != kinds.most_common(1)[0][0]]
    yield Finding(
        "mixed kinds of pixels", tuple((f"{ids[row]} ({seen[row].kind})",) for row in rare),
        f"unlike the rest of the set ({kinds.most_common(1)[0][0] if kinds else ''}): no one scale fits all of them",
        "Save all images as one kind, give each kind a folder of its own, or train with --pixel-range LOW HIGH.",
    )  # fmt: skip
    least_peak = found[0] + (found[1] - found[0]) / DIM
    dim = [row for row, look in seen.items() if look.peak is not None and look.peak < least_peak]
    is_mixed = 0 < len(dim) < len(seen)
    yield Finding(
        "mixed ranges", tuple((ids[row],) for row in dim) if is_mixed else (),
        f"much smaller values in a set whose white is {found[1]:g}: another scale, which is learned",
        "Save all images with one scale, or give each scale a folder of its own.",
    )  # fmt: skip
    yield Finding(
        "pixels in units", ((f"{manifest.source}: {found[0]:g} to {found[1]:g}",),) if found[0] < 0 else (),
        "negative values, such as Hounsfield units: what matters may lie in a small part of the range",
        "Give the part that matters: --pixel-range LOW HIGH, for instance -160 240 for soft tissue in CT.",
    )  # fmt: skip


def _about_shape(manifest: Manifest) -> Iterator[Finding]:
    sizes, modes = manifest.pixels.headers
    tiny = np.flatnonzero((sizes.min(axis=1) < TINY) & (sizes > 0).all(axis=1))
    yield Finding(
        "tiny image", tuple((manifest.ids[int(row)],) for row in tiny),
        f"a side of fewer than {TINY} pixels: thumbnails or icons rather than photographs",
        "Delete them, or fetch them in full size.",
    )  # fmt: skip
    usual = {mode for mode, count in Counter(modes.tolist()).items() if count >= ODD_SHARE * len(modes)}
    odd = [row for row, mode in enumerate(modes.tolist()) if mode and mode not in usual]
    yield Finding(
        "odd kind of pixels", tuple((f"{manifest.ids[row]} ({modes[row]})",) for row in odd),
        f"unlike the rest of the set ({', '.join(sorted(usual))}): converted, which may show as another look",
        "Look at a few; nothing to do if they look right.",
    )  # fmt: skip


def _about_classes(manifest: Manifest) -> Iterator[Finding]:
    train = manifest.labels[manifest.splits == "train"]
    single = [manifest.class_names[c] for c, count in class_counts(train).items() if count < 2]
    yield Finding(
        "class of one image", tuple((name,) for name in single),
        "nothing of the same class to be pulled towards, and nothing to hold out",
        "Add images, or join the class with another.",
    )  # fmt: skip
    yield Finding(
        "class names nearly the same", tuple(nearly_the_same(manifest.class_names)),
        "names that differ only in case, spaces or the writing of a number: counted as different classes",
        "Give both one name, if they are one class.",
    )  # fmt: skip
    yield Finding(
        "class called missing", tuple((name,) for name in named_as_missing(manifest.class_names)),
        "what other programs write for a missing label: counted as a class, and learned",
        "Leave the cell empty, or write -1, where an image has no label.",
    )  # fmt: skip


def _same(looks: Sequence[_Look | str], group: Sequence[int]) -> bool:
    return len({look.digest for row in group if isinstance(look := looks[row], _Look)}) == 1
