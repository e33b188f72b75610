"""What is in each remote shard: listed next to it by ``likewise pack``, or found once, and kept in the cache."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from likewise.atomic_write import disk_error
from likewise.counts import amount
from likewise.data.sources.attempts import AccessDenied, with_attempts
from likewise.data.sources.shard_cache import ShardCache
from likewise.data.sources.shard_index import INDEX_FORMAT, SUFFIX, ShardIndex, digest, read_index
from likewise.data.sources.urls import REQUESTS_AT_A_TIME, RemoteFile, read_small
from likewise.errors import LikewiseError


class KeptIndices:
    """The indices of some remote shards.

    Args:
        files: the shards.
        names: what ids begin with.
        cache: where they are kept.
    """

    def __init__(
        self, files: Sequence[RemoteFile], names: Sequence[str], cache: ShardCache
    ) -> None:
        self.files = files
        self._paths = [_path(file, name, cache) for file, name in zip(files, names, strict=True)]

    def unknown(self) -> list[int]:
        """Numbers of the shards that have to be read; the indices that lie next to shards are fetched first.

        Raises:
            LikewiseError: an index cannot be read.
            EnvironmentIOError: an index is not that of its manifest, or the server does not answer.
        """
        absent = [number for number, path in enumerate(self._paths) if not _is_intact(path)]
        listed = [number for number in absent if self.files[number].index_sha256]
        with ThreadPoolExecutor(REQUESTS_AT_A_TIME) as threads:
            texts = list(threads.map(lambda number: _fetched(self.files[number]), listed))
        found = set[int]()
        for number, text in zip(listed, texts, strict=True):
            if text is not None:
                _ = read_index(text, f"{self.files[number].url}{SUFFIX}")
                self._write(number, text)
                found.add(number)
        return [number for number in absent if number not in found]

    def keep(self, number: int, index: ShardIndex) -> None:
        """Keep what was found in a shard.

        Raises:
            EnvironmentIOError: it cannot be written.
        """
        self._write(number, index.as_text())

    def load(self) -> list[ShardIndex]:
        """All of them.

        Raises:
            LikewiseError: a shard holds another number of images than its manifest says, or is shorter than its index
            says.
        """
        indices = []
        for file, path in zip(self.files, self._paths, strict=True):
            index = read_index(path.read_text().partition("\n")[2], f"{file.url}{SUFFIX}")
            if file.images is not None and index.images != file.images:
                raise LikewiseError(
                    f"{file.url} holds {amount(index.images, 'image')}, and {file.images:,} by its manifest. Write "
                    f"the set again, or delete the manifest."
                )
            if index.end > file.size:
                raise LikewiseError(
                    f"{file.url} has {file.size:,} bytes, and an image at byte {index.end:,} by its index. Write the "
                    f"set again, or delete the index."
                )
            indices.append(index)
        return indices

    def _write(self, number: int, text: str) -> None:
        path = self._paths[number]
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(f"{digest(text)}\n{text}")
            part.rename(path)
        except OSError as error:
            raise disk_error(path, error, len(text), "choose another --cache-dir") from error


def _path(file: RemoteFile, name: str, cache: ShardCache) -> Path:
    said = f"{INDEX_FORMAT}\0{cache.key(file)}\0{file.index_sha256}\0{name}"
    key = hashlib.blake2b(said.encode(), digest_size=12).hexdigest()
    return cache.folder / "index" / f"{key}.json"


def _is_intact(path: Path) -> bool:
    """Whether what is kept is as it was written; what was damaged is fetched or found again."""
    try:
        written, _, text = path.read_text().partition("\n")
    except (OSError, ValueError):
        return False
    return written == digest(text)


def _fetched(file: RemoteFile) -> str | None:
    """The index next to a shard; None where there is none, although the manifest names it.

    Raises:
        EnvironmentIOError: it is another than the manifest says, or the server does not answer.
    """
    url = f"{file.url}{SUFFIX}"

    def work() -> str | None:
        content = read_small(url)
        if content is not None and hashlib.sha256(content).hexdigest() != file.index_sha256:
            raise OSError("its SHA-256 is another than manifest.json says; copy it there again")
        return None if content is None else content.decode()

    try:
        return with_attempts(work, url)
    except AccessDenied:
        return None
