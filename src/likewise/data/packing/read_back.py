"""Shards are opened as training opens them, and compared with what was to be written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from likewise.data.manifest import Manifest
from likewise.data.packing.packed_example import read_example
from likewise.data.sources.open import open_manifest
from likewise.errors import EnvironmentIOError, LikewiseError

READ_BYTES = 2**20
"""Bytes of a file that are read at a time."""


def read_back(file: Path, digests: Sequence[bytes]) -> str:
    """Compare one shard with its examples, byte for byte.

    Args:
        file: the shard.
        digests: of its examples, in their order.

    Returns:
        The SHA-256 of the file.

    Raises:
        EnvironmentIOError: it does not hold them.
    """
    found = list[bytes]()
    if digests:
        shard = open_manifest(str(file), allow_mixed=True)
        found = [read_example(shard, row, decode=False).digest() for row in range(len(shard))]
    if found != list(digests):
        raise EnvironmentIOError(
            f"{file} does not hold what was written into it: {len(found):,} of {len(digests):,} examples came back, or "
            f"other bytes. Check the disk, then type the same command."
        )
    return sha256_of(file)


def require_whole(file: Path, sha256: str) -> None:
    """Refuse a finished shard that is gone or has other bytes than it had.

    Raises:
        LikewiseError: so it is.
    """
    if not file.exists() or sha256_of(file) != sha256:
        raise LikewiseError(
            f"{file} was finished, but has been deleted, changed or damaged since. Delete {file.parent} and pack again."
        )


def require_same(manifest: Manifest, left_out: set[str], out: Path) -> None:
    """Refuse shards that training would not take for the set that was packed.

    Args:
        manifest: the set.
        left_out: ids of its files that could not be read.
        out: folder of the shards.

    Raises:
        EnvironmentIOError: an example, a label, a class or a split is another.
    """
    packed = open_manifest(str(out), allow_mixed=True)
    wanted, found = _facts(manifest, left_out), _facts(packed, set())
    same = wanted == found and packed.class_names == manifest.class_names
    if not same:
        odd = next(
            (name for name in {**wanted, **found} if wanted.get(name) != found.get(name)),
            "the class names",
        )
        raise EnvironmentIOError(
            f"The shards in {out} are not the set that was packed: they differ in {odd}. Delete the folder and pack "
            f"again."
        )


def _facts(manifest: Manifest, left_out: set[str]) -> dict[str, tuple[int, str]]:
    """Label and split of each example by id."""
    rows = zip(manifest.ids, manifest.labels.tolist(), manifest.splits.tolist(), strict=True)
    return {name: (label, split) for name, label, split in rows if name not in left_out}


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's bytes."""
    content = hashlib.sha256()
    with file.open("rb") as stream:
        while part := stream.read(READ_BYTES):
            content.update(part)
    return content.hexdigest()
