"""The files of a set that hold many images each, on this machine or copied to it when they are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Protocol

from likewise.data.pixel_source import version_of
from likewise.data.sources.shard_cache import ShardCache
from likewise.data.sources.urls import RemoteFile

COPIES_AT_A_TIME = 4


class ShardFiles(Protocol):
    """Files by number."""

    def __len__(self) -> int: ...

    def open(self, number: int) -> BinaryIO:
        """One file, opened for reading.

        Raises:
            OSError: a file on this machine is gone.
            LikewiseError: a remote file cannot be copied.
        """
        ...

    def name(self, number: int) -> str:
        """What a message calls one file."""
        ...

    def version(self, number: int) -> str:
        """What changes when one file is written anew."""
        ...


class LocalShards:
    """Files on this machine."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = [str(path) for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, number: int) -> BinaryIO:
        """One file, opened for reading."""
        return open(self.paths[number], "rb")

    def name(self, number: int) -> str:
        """Its path."""
        return self.paths[number]

    def version(self, number: int) -> str:
        """What changes when one file is written anew."""
        return version_of(Path(self.paths[number]))


class CachedShards:
    """Remote files, each copied to the cache when it is needed."""

    def __init__(self, files: Sequence[RemoteFile], cache: ShardCache) -> None:
        self.files, self.cache = tuple(files), cache

    def __len__(self) -> int:
        return len(self.files)

    def open(self, number: int) -> BinaryIO:
        """One file's copy, opened for reading."""
        return self.cache.open(self.files[number])

    @property
    def fit_in_cache(self) -> bool:
        """Whether copies of all files can be there at once."""
        return sum(file.size for file in self.files) <= self.cache.limit

    def in_turn(self, numbers: Sequence[int]) -> Iterator[int]:
        """The numbers in order, each once its file is copied; the files behind it are fetched meanwhile.

        Raises:
            LikewiseError: a file cannot be copied.
        """
        largest = max((self.files[number].size for number in numbers), default=0)
        ahead = min(max(self.cache.limit // max(2 * largest, 1), 1), COPIES_AT_A_TIME)
        waiting: deque[tuple[int, Future[Path]]] = deque()
        with ThreadPoolExecutor(ahead) as threads:
            for number in numbers:
                waiting.append((number, threads.submit(self.cache.path, self.files[number])))
                if len(waiting) == ahead:
                    yield _first_copied(waiting)
            while waiting:
                yield _first_copied(waiting)

    def name(self, number: int) -> str:
        """Its URL."""
        return self.files[number].url

    def version(self, number: int) -> str:
        """What changes when one file is written anew."""
        return self.cache.key(self.files[number])


def _first_copied(waiting: deque[tuple[int, Future[Path]]]) -> int:
    number, copy = waiting.popleft()
    copy.result()
    return number
