"""Whole copies of remote files in a folder of a limited size; those used longest ago go first."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from likewise.data.sources.attempts import with_attempts
from likewise.data.sources.urls import RemoteFile, filesystem_of
from likewise.errors import EnvironmentIOError, LikewiseError

FOLDER = "~/.cache/likewise/shards"
"""Where copies lie; ``LIKEWISE_CACHE_DIR`` names another folder."""

LIMIT = "20GB"
"""Bytes of that folder; ``LIKEWISE_CACHE_SIZE`` sets another limit."""

UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}

_LOOKED_AT = set[str]()
"""Copies whose bytes this process has compared with what was copied."""

BLOCK = 2**23
"""Bytes that are requested and written at a time."""


@dataclass(frozen=True)
class ShardCache:
    """A folder of whole copies of remote files, which the processes of a machine share."""

    folder: Path
    limit: int
    """bytes of all copies together"""

    @classmethod
    def of(cls, folder: str | None = None, size: str | None = None) -> ShardCache:
        """The cache that was named, or else the one of the environment or the usual one.

        Raises:
            LikewiseError: ``size`` is no number of bytes.
        """
        named = folder or os.environ.get("LIKEWISE_CACHE_DIR") or FOLDER
        return cls(
            Path(named).expanduser(),
            bytes_of(size or os.environ.get("LIKEWISE_CACHE_SIZE") or LIMIT),
        )

    def path(self, file: RemoteFile) -> Path:
        """A whole copy of a file, fetched if it is not there.

        Raises:
            LikewiseError: the file is larger than the cache may be, is gone, or is another than it was.
            EnvironmentIOError: it cannot be fetched or written.
        """
        local = self.folder / f"{self.key(file)}-{file.name}"
        try:
            if not self._is_whole(local, file):
                self._lock_folder().mkdir(parents=True, exist_ok=True)
                with FileLock(self._lock_folder() / f"{local.name}.lock"):
                    if not self._is_whole(local, file):
                        self._fetch(file, local)
            now = time.time_ns()  # the system's own stamp stands still for milliseconds
            os.utime(local, ns=(now, now))
        except OSError as error:
            raise _cannot_write(file, local, error) from error
        return local

    def open(self, file: RemoteFile) -> BinaryIO:
        """A whole copy of a file, opened for reading."""
        while True:
            # Another process may remove the copy in between; once it is open, it stays readable.
            with suppress(FileNotFoundError):
                return open(self.path(file), "rb")

    def key(self, file: RemoteFile) -> str:
        """A name that changes with a file's address and version."""
        text = f"{file.url}\0{file.size}\0{file.version}"
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def make_room(self, wanted: int) -> None:
        """Remove the copies used longest ago until so many bytes more fit."""
        with FileLock(self._lock_folder() / "room.lock"):
            copies = sorted(self._copies(), key=lambda copy: copy[1].st_mtime_ns)
            total = sum(status.st_size for _, status in copies)
            for path, status in copies:
                if total + wanted <= self.limit:
                    return
                path.unlink(missing_ok=True)
                total -= status.st_size

    def _copies(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # another process has just removed it
                if path.is_file():
                    yield path, path.stat()

    def _is_whole(self, local: Path, file: RemoteFile) -> bool:
        """Whether a copy has its file's size, and the bytes that were copied, at which each process looks once."""
        try:
            if local.stat().st_size != file.size:
                return False
            if str(local) not in _LOOKED_AT:
                if _sha256_of(local) != self._digest_file(local).read_text():
                    return False
                _LOOKED_AT.add(str(local))
        except FileNotFoundError:
            return False
        return True

    def _digest_file(self, local: Path) -> Path:
        return self._lock_folder() / f"{local.name}.sha256"

    def _lock_folder(self) -> Path:
        return self.folder / "locks"

    def _fetch(self, file: RemoteFile, local: Path) -> None:
        if file.size > self.limit:
            raise LikewiseError(
                f"{file.url} has {file.size:,} bytes, but the cache may have {self.limit:,}. Give at least "
                f"--cache-size {as_typed(file.size)} (or LIKEWISE_CACHE_SIZE)."
            )
        self.make_room(file.size)
        part = local.with_name(f"{local.name}.part")
        try:
            with open(part, "wb") as copy:
                # The room is taken, so that processes side by side keep to the limit.
                copy.truncate(file.size)
            digest = with_attempts(lambda: _copy(file, part), file.url)
            self._digest_file(local).write_text(digest)
            part.rename(local)
            _LOOKED_AT.add(str(local))
        except FileNotFoundError as error:
            raise LikewiseError(
                f"{file.url} was there when the run began, and is gone now. Put it back."
            ) from error
        finally:
            part.unlink(missing_ok=True)


def bytes_of(text: str) -> int:
    """A number of bytes as it is typed: ``500MB``, ``20GB``, ``1.5TB``.

    Raises:
        LikewiseError: it is none, or not above 0.
    """
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*([kmgt]?b?)", text.strip().lower())
    number = 0.0
    if found:
        unit = f"{found[2].removesuffix('b')}b"
        number = float(found[1]) * UNITS.get(unit, 1)
    if number < 1:
        raise LikewiseError(
            f"The cache size {text!r} cannot be used. Give a number of bytes, for instance 20GB."
        )
    return int(number)


def as_typed(number: int) -> str:
    """A number of bytes, rounded up, as it is typed."""
    unit = next((unit for unit in ("TB", "GB", "MB", "kB") if number >= UNITS[unit.lower()]), "")
    return f"{-(-number // UNITS[unit.lower()])}{unit}"


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _copy(file: RemoteFile, part: Path) -> str:
    """Fetch a file from its first byte to its last; gives its SHA-256.

    Raises:
        OSError: it was cut short, or is not what it should be.
        EnvironmentIOError: it cannot be written here.
    """
    digest, done = hashlib.sha256(), 0
    with _stream(file) as stream, open(part, "r+b", buffering=0) as copy:
        while block := stream.read(BLOCK):
            done += len(block)
            digest.update(block)
            try:
                copy.write(block)
            except OSError as error:
                raise _cannot_write(file, part, error) from error
    if done != file.size:
        raise OSError(f"{done:,} of {file.size:,} bytes arrived")
    if file.sha256 and digest.hexdigest() != file.sha256:
        raise OSError(f"its SHA-256 is {digest.hexdigest()}, and {file.sha256} in the manifest")
    return digest.hexdigest()


def _cannot_write(file: RemoteFile, local: Path, error: OSError) -> EnvironmentIOError:
    return EnvironmentIOError(
        f"A copy of {file.url} cannot be written to {local.parent} ({error}). Free some space there, or name another "
        f"folder or a smaller size: --cache-dir, --cache-size (or LIKEWISE_CACHE_DIR, LIKEWISE_CACHE_SIZE)."
    )


def _stream(file: RemoteFile) -> Any:
    files, path = filesystem_of(file.url)
    if file.url.startswith(("http://", "https://")):
        # One request, also where there are no ranges.
        return files.open(path, "rb", block_size=0, size=file.size)
    return files.open(path, "rb", block_size=BLOCK, cache_type="none")
