"""Files at URLs: which a pattern names, how large they are, and what small ones hold.

fsspec (https://filesystem-spec.readthedocs.io) opens ``s3://``, ``gs://``, ``https://`` and others, and takes
credentials from where each service's own programs do: the environment, or its configuration files.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from braceexpand import braceexpand

from likewise.counts import amount, first_of
from likewise.data.sources.attempts import with_attempts
from likewise.errors import LikewiseError
from likewise.offline import require_online

REQUESTS_AT_A_TIME = 16

VERSIONS = ("ETag", "etag", "LastModified", "Last-Modified", "mtime", "created")
"""What file systems call that which changes when a file is written anew, the best first."""

LOCAL = ("file", "memory")
"""Protocols of this machine."""

REMOTE, GCS = 'pip install "likewise[remote]"', 'pip install "likewise[gcs]"'
PACKAGES = {
    "http": REMOTE,
    "https": REMOTE,
    "s3": REMOTE,
    "s3a": REMOTE,
    "gs": GCS,
    "gcs": GCS,
    "hf": 'pip install "likewise[datasets]"',
    "abfs": "pip install adlfs",
    "az": "pip install adlfs",
}
"""What brings the library of a protocol."""


class RemoteFile(NamedTuple):
    """A file at a URL."""

    url: str
    size: int
    """bytes"""
    version: str
    """changes when the file is written anew, where the server tells that"""
    sha256: str = ""
    """digest of its bytes in hexadecimal, where it is known"""
    images: int | None = None
    """how many images it holds, where that is known"""
    index_sha256: str = ""
    """digest of the index next to it, where there is one, see `likewise.data.sources.shard_index`"""

    @property
    def name(self) -> str:
        """Its name without its folders."""
        return name_of_url(self.url)


def is_url(text: str) -> bool:
    """Whether a source is named by a URL."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def name_of_url(url: str) -> str:
    """The last part of a URL's path."""
    return PurePosixPath(urlsplit(url).path).name


def filesystem_of(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it. File systems must not cross a fork, so none is kept.

    Raises:
        LikewiseError: ``LIKEWISE_OFFLINE`` is set, the protocol is unknown, or its library is not installed.
    """
    if urlsplit(url).scheme not in LOCAL:
        require_online(url, "give a path on this machine.")
    import fsspec  # slow to import

    # It prints the traceback of each error that it raises.
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    try:
        return fsspec.url_to_fs(url, **_options(url))
    except ImportError as error:
        needed = PACKAGES.get(urlsplit(url).scheme, "the package that is named there")
        raise LikewiseError(f"{url} cannot be opened: {error}. Install it: {needed}.") from error
    except ValueError as error:
        raise LikewiseError(
            f"{url} cannot be opened: {error}. Usual protocols are https, s3, gs and hf; others are those that fsspec "
            f"knows."
        ) from error


def expand(pattern: str, suffixes: Sequence[str]) -> list[str]:
    """The URLs that a pattern names, those of each brace in its order and those of each ``*`` sorted.

    Args:
        pattern: a URL with braces (``{0000..0099}``, ``{train,test}``), with ``*``, ``?`` and ``[]``, or of a folder.
        suffixes: endings of the files that are wanted of a folder.

    Raises:
        LikewiseError: it names nothing.
    """
    urls = [url for part in without_braces(pattern) for url in _expand_stars(part, suffixes)]
    if not urls:
        raise LikewiseError(f"{pattern} names no file that ends in {' or '.join(suffixes)}.")
    return urls


def without_braces(pattern: str) -> list[str]:
    """The patterns that one with braces means, in their order.

    Raises:
        LikewiseError: a brace is not closed, or closed without having been opened.
    """
    try:
        return list(braceexpand(pattern))
    except ValueError as error:
        raise LikewiseError(
            f"{pattern} has a brace that is not closed or not opened. Give {{0000..0099}} or {{train,test}}, or a "
            f"backslash before a brace that belongs to a name."
        ) from error


def look_up(urls: Sequence[str]) -> list[RemoteFile]:
    """The size and version of each file.

    Raises:
        LikewiseError: some are missing, all of which are named, or a server does not say how large a file is.
        EnvironmentIOError: a server does not answer.
    """
    with ThreadPoolExecutor(REQUESTS_AT_A_TIME) as threads:
        found = list(threads.map(_look_up, urls))
    missing = [url for url, file in zip(urls, found, strict=True) if file is None]
    if missing:
        raise LikewiseError(
            f"{len(missing)} of {amount(len(urls), 'file')} are missing: {first_of(missing, 5)}. Put them there, or "
            f"give a pattern of those that are there."
        )
    return [file for file in found if file is not None]


def read_small(url: str) -> bytes | None:
    """The bytes of a small file; None where it is missing.

    Raises:
        AccessDenied: access is denied, as S3 also says of what is missing where its folder may not be listed.
        EnvironmentIOError: a server does not answer.
    """

    def work() -> bytes:
        files, path = filesystem_of(url)
        return files.cat_file(path)

    try:
        return with_attempts(work, url)
    except FileNotFoundError:
        return None


def _expand_stars(url: str, suffixes: Sequence[str]) -> list[str]:
    # What follows the ? of a web address is its query.
    marks = "*[" if url.startswith("http") else "*?["
    if any(mark in url for mark in marks):
        return _listed(url, lambda files, path: files.glob(path))
    if PurePosixPath(urlsplit(url).path).suffix.lower() in suffixes:
        return [url]
    below = _listed(url, lambda files, path: files.find(path))
    return [file for file in below if PurePosixPath(urlsplit(file).path).suffix.lower() in suffixes]


def _listed(url: str, listing: Callable[[Any, str], list[str]]) -> list[str]:
    def work() -> list[str]:
        files, path = filesystem_of(url)
        files.invalidate_cache()
        return sorted(files.unstrip_protocol(found) for found in listing(files, path))

    try:
        return with_attempts(work, url)
    except FileNotFoundError:
        return []


def _look_up(url: str) -> RemoteFile | None:
    """One file's size and version; None where it is missing."""

    def work() -> dict[str, Any]:
        files, path = filesystem_of(url)
        files.invalidate_cache()
        return files.info(path)

    try:
        info = with_attempts(work, url)
    except FileNotFoundError:
        return None
    if not isinstance(info.get("size"), int):
        raise LikewiseError(
            f"{url}: the server does not say how large this file is, so a transfer that is cut could not be noticed. "
            f"Copy it to a server that sends Content-Length."
        )
    version = next((info[name] for name in VERSIONS if info.get(name)), "")
    return RemoteFile(url, info["size"], str(version))


def _options(url: str) -> dict[str, Any]:
    """A timeout for silence in place of one for a whole file, which a large file on a slow line would break."""
    if not url.startswith(("http://", "https://")):
        return {}
    import aiohttp

    return {
        "client_kwargs": {
            "timeout": aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
        }
    }
