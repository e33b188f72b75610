"""What is wrong with a set of images, found before step 0, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from likewise.counts import amount
from likewise.data.checks.copy_findings import copy_findings
from likewise.data.checks.finding import Finding, Findings, one_by_one
from likewise.data.checks.image_look import Look, look_at
from likewise.data.classes import class_counts, nearly_the_same
from likewise.data.columns.missing_labels import named_as_missing
from likewise.data.decoding import channels_of_mode
from likewise.data.manifest import Manifest
from likewise.data.manifest_warnings import fractions_among
from likewise.data.parallel_map import parallel_map
from likewise.data.pixel_source import FRAMES

TINY = 16
"""shorter side in pixels below which an image shows next to nothing"""
DIM = 12
"""part of its set's range that an image must reach; 12-bit images reach a sixteenth of the range of 16 bits"""
NARROW = 32
"""grey levels of 255 within which all images of a set lie if its range is wrong"""
ODD_SHARE = 0.05
"""share of the set below which a kind of pixels is odd"""


def examine(manifest: Manifest) -> Findings:
    """Decode every image once and report what is wrong with the set.

    Looks for files that are no image or cannot be decoded, tiny images, exact and near copies, copies in training and
    test ("leaks"), copies with different labels, classes of one image, and pixels of an odd kind. Copies may be
    mirrored, turned, cropped, re-encoded or brightened, see :mod:`likewise.data.checks.near_duplicates`. Groups of
    copies that span splits come first, then those with different labels.
    """
    looks = list(parallel_map(lambda row: look_at(manifest, row), len(manifest)))
    return Findings(
        images=len(manifest) + len(manifest.unread),
        found=tuple(finding for finding in _findings(manifest, looks) if finding.groups),
        notes=manifest.notes,
    )


def _findings(manifest: Manifest, looks: Sequence[Look | str]) -> Iterator[Finding]:
    decoded = {row: look for row, look in enumerate(looks) if isinstance(look, Look)}
    yield _unusable(manifest, looks)
    yield _passed_over(manifest)
    yield from copy_findings(manifest, looks)
    yield from _value_findings(manifest, decoded)
    yield from _deep_value_findings(manifest, decoded)
    yield from _shape_findings(manifest)
    yield from _class_findings(manifest)


def _unusable(manifest: Manifest, looks: Sequence[Look | str]) -> Finding:
    files = [f"{name} ({reason})" for name, reason in manifest.unread.items()]
    for row, look in enumerate(looks):
        if isinstance(look, str):
            reason = look.rpartition(": ")[2]  # without the path
            files.append(f"{manifest.ids[row]} ({reason})")
    return Finding(
        "unusable file",
        one_by_one(files),
        "not an image, empty or cut short: left out, or replaced by a neighbour while training",
        "Fetch these files again, or delete them.",
    )


def _passed_over(manifest: Manifest) -> Finding:
    """What may be whole, but was not taken as an image."""
    entries = [entry for entry in manifest.skipped if not entry.unread]
    return Finding(
        "passed over",
        one_by_one(f"{entry.id} ({entry.reason})" for entry in entries),
        "not read, for the reason in brackets",
        "Rename or move what should be read, as the reason says.",
    )


def _value_findings(manifest: Manifest, looks: Mapping[int, Look]) -> Iterator[Finding]:
    """Images without contrast, one by one or all together."""
    constant = [row for row, look in looks.items() if look.is_constant]
    yield Finding(
        "constant image",
        one_by_one(manifest.ids[row] for row in constant),
        "all pixels have one value: there is nothing to be learned from it",
        "Delete these files, or fetch them again.",
    )
    low = min((look.low for look in looks.values()), default=0)
    high = max((look.high for look in looks.values()), default=255)
    is_narrow = 0 < high - low < NARROW and len(constant) < len(looks)
    yield Finding(
        "narrow range",
        one_by_one([f"{manifest.source}: {low} to {high} of 255"] if is_narrow else []),
        "all images together use a small part of the grey levels: they look black, and detail is lost in rounding",
        "Give the values that are to be black and white: --pixel-range LOW HIGH; or save 8-bit images with contrast.",
    )


def _deep_value_findings(manifest: Manifest, looks: Mapping[int, Look]) -> Iterator[Finding]:
    """Images of more than 8 bits that one scale does not fit."""
    if manifest.pixel_range is None:
        return
    ids = manifest.ids
    low, high = manifest.pixel_range
    kinds = Counter(look.kind for look in looks.values())
    usual = kinds.most_common(1)[0][0] if kinds else ""
    yield Finding(
        "mixed kinds of pixels",
        one_by_one(
            f"{ids[row]} ({look.kind})" for row, look in looks.items() if look.kind != usual
        ),
        f"unlike the rest of the set ({usual}): no one scale fits all of them",
        "Save all images as one kind, give each kind a folder of its own, or train with --pixel-range LOW HIGH.",
    )
    least_peak = low + (high - low) / DIM
    dim = [row for row, look in looks.items() if look.peak is not None and look.peak < least_peak]
    is_mixed = len(dim) < len(looks)
    yield Finding(
        "mixed ranges",
        one_by_one(ids[row] for row in dim if is_mixed),
        f"much smaller values in a set whose white is {high:g}: another scale, which is learned",
        "Save all images with one scale, or give each scale a folder of its own.",
    )
    yield Finding(
        "pixels in units",
        one_by_one([f"{manifest.source}: {low:g} to {high:g}"] if low < 0 else []),
        "negative values, such as Hounsfield units: what matters may lie in a small part of the range",
        "Give the part that matters: --pixel-range LOW HIGH, for instance -160 240 for soft tissue in CT.",
    )


def _shape_findings(manifest: Manifest) -> Iterator[Finding]:
    sizes, modes = manifest.pixels.headers
    is_known = (sizes > 0).all(axis=1)
    tiny = np.flatnonzero(is_known & (sizes.min(axis=1) < TINY))
    yield Finding(
        "tiny image",
        one_by_one(str(manifest.ids[row]) for row in tiny.tolist()),
        f"a side of fewer than {TINY} pixels: thumbnails or icons rather than photographs",
        "Delete them, or fetch them in full size.",
    )
    yield Finding(
        "several frames",
        one_by_one(name for name, mode in zip(manifest.ids, modes, strict=True) if FRAMES in mode),
        "of an animation, or of a file with several pages, only the first is used",
        "Save each frame that is to be learned from as an image of its own.",
    )
    kinds = [mode.removesuffix(FRAMES) for mode in modes.tolist()]
    yield _several_channels(manifest, kinds)
    usual = {kind for kind, count in Counter(kinds).items() if count >= ODD_SHARE * len(kinds)}
    odd = [row for row, kind in enumerate(kinds) if kind and kind not in usual]
    yield Finding(
        "odd kind of pixels",
        one_by_one(f"{manifest.ids[row]} ({kinds[row]})" for row in odd),
        f"unlike the rest of the set ({', '.join(sorted(usual))}): converted, which may show as another look",
        "Look at a few; nothing to do if they look right.",
    )


def _several_channels(manifest: Manifest, kinds: Sequence[str]) -> Finding:
    """Where training refuses the set: images of other channels than most, which are not just grey and RGB."""
    channels = [channels_of_mode(kind) if kind else 0 for kind in kinds]
    counts = Counter(count for count in channels if count)
    usual = counts.most_common(1)[0][0] if counts else 0
    fitting = {0, 1, 3} if usual in (1, 3) else {0, usual}
    return Finding(
        "other channels",
        one_by_one(
            f"{name} ({amount(count, 'channel')})"
            for name, count in zip(manifest.ids, channels, strict=True)
            if count not in fitting
        ),
        f"unlike most of the set ({amount(usual, 'channel')}): training refuses such a set",
        "Give images that all have the same channels; grey and RGB may be mixed.",
    )


def _class_findings(manifest: Manifest) -> Iterator[Finding]:
    counts = class_counts(manifest.labels[manifest.splits == "train"])
    yield Finding(
        "class of one image",
        one_by_one(manifest.class_names[label] for label, count in counts.items() if count < 2),
        "nothing of the same class to be pulled towards, and nothing to hold out",
        "Add images, or join the class with another.",
    )
    yield Finding(
        "class names nearly the same",
        tuple(nearly_the_same(manifest.class_names)),
        "names that differ only in case, spaces or the writing of a number: counted as different classes",
        "Give both one name, if they are one class.",
    )
    yield Finding(
        "number as a class",
        one_by_one(fractions_among(manifest.class_names)),
        "each number is a class of its own, which has nothing to do with the next number",
        "If numbers are to be predicted: --task regression.",
    )
    yield Finding(
        "class called missing",
        one_by_one(named_as_missing(manifest.class_names)),
        "what other programs write for a missing label: counted as a class, and learned",
        "Where an image has no label, leave the cell empty or write -1; or move it to a folder called unlabeled.",
    )
