"""Shards are opened as training opens them, and compared with what was to be written; their indices are made so."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from likewise.counts import amount
from likewise.data.manifest import Manifest
from likewise.data.packing.opened_shard import opened_by_index
from likewise.data.packing.packed_example import read_example
from likewise.data.sources.open import open_manifest
from likewise.data.sources.shard_index import SUFFIX, ShardIndex
from likewise.errors import EnvironmentIOError, LikewiseError

READ_BYTES = 2**20
"""Bytes of a file that are read at a time."""


def read_back(file: Path, name: str, digests: Sequence[bytes]) -> ShardIndex:
    """Compare one shard with its examples, byte for byte.

    Args:
        file: the shard.
        name: what it will be called.
        digests: of its examples, in their order.

    Returns:
        Its index, by which it was read.

    Raises:
        EnvironmentIOError: it does not hold them.
    """
    shard, index = opened_by_index(file, name)
    found = []
    if shard is not None:
        found = [read_example(shard, row, decode=False).digest() for row in range(len(shard))]
    if found != list(digests):
        raise EnvironmentIOError(
            f"{file} does not hold what was written into it: {len(found):,} of {amount(len(digests), 'example')} came "
            f"back, or other bytes. Check the disk, then type the same command."
        )
    return index


def require_whole(folder: Path, name: str, sha256: str, index: str) -> None:
    """Refuse a finished shard that is gone or has other bytes than it had, and likewise its index.

    Args:
        folder: of the shards.
        name: of the shard.
        sha256: digest of its bytes.
        index: digest of its index.

    Raises:
        LikewiseError: so it is.
    """
    for file, wanted in ((folder / name, sha256), (folder / f"{name}{SUFFIX}", index)):
        if not file.exists() or sha256_of(file) != wanted:
            raise LikewiseError(
                f"{file} was finished, but has been deleted, changed or damaged since. Delete {folder} and pack again."
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
