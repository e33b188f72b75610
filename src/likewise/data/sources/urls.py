"""Files at URLs: which a pattern names, how large they are, and attempts until a server answers.

fsspec (https://filesystem-spec.readthedocs.io) opens ``s3://``, ``gs://``, ``https://`` and others, and takes
credentials from where each service's own programs do: the environment, or its configuration files.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from json import JSONDecodeError
from pathlib import PurePosixPath
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from braceexpand import braceexpand

from likewise.counts import amount
from likewise.errors import EnvironmentIOError, LikewiseError
from likewise.offline import require_online

Result = TypeVar("Result")

ATTEMPTS = 5
"""How often a request is made before a run ends."""

FIRST_WAIT = 1.0
"""Seconds between the first attempt and the second; between later ones twice as many each time."""

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
CREDENTIALS = {
    "s3": ", for instance AWS_PROFILE or AWS_ACCESS_KEY_ID",
    "gs": ", for instance GOOGLE_APPLICATION_CREDENTIALS",
    "hf": ": HF_TOKEN",
}
"""Where a protocol's library looks for credentials."""


class AccessDenied(EnvironmentIOError):
    """A server does not let a file be read, or does not say that it is missing."""


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
        some = ", ".join(missing[:5]) + (
            f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        )
        raise LikewiseError(
            f"{len(missing)} of {amount(len(urls), 'file')} are missing: {some}. Put them there, or give a pattern of "
            f"those that are there."
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


def with_attempts(work: Callable[[], Result], url: str) -> Result:
    """What ``work`` returns, tried again a few times where a server fails.

    Raises:
        FileNotFoundError: there is no such file.
        LikewiseError: the address is none.
        AccessDenied: access is denied.
        EnvironmentIOError: no attempt succeeded.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work()
        except LikewiseError:
            raise
        except Exception as error:  # file systems raise OSError, and errors of their HTTP clients
            _raise_if_final(error, url, attempt)
        time.sleep(FIRST_WAIT * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def _raise_if_final(error: Exception, url: str, attempt: int) -> None:
    if _is_missing(error):
        raise FileNotFoundError(url) from error
    if _is_denied(error):
        raise AccessDenied(
            f"{url}: access was denied ({_reason(error)}). Set the credentials as the service's own programs take "
            f"them{CREDENTIALS.get(urlsplit(url).scheme, '')}."
        ) from error
    if _is_no_address(error):
        raise LikewiseError(
            f"{url} is no address of a file ({_reason(error)}). Give for instance s3://bucket/folder/*.tar or "
            f"https://host/folder/train-{{0000..0099}}.tar."
        ) from error
    if _is_untrusted(error):
        raise EnvironmentIOError(
            f"{url}: the server's certificate is not trusted ({_reason(error)}). If it is your own server, name the "
            f"file of its certificate authority: SSL_CERT_FILE=ca.pem."
        ) from error
    if attempt == ATTEMPTS:
        raise EnvironmentIOError(
            f"{url} could not be read in {ATTEMPTS} attempts ({_reason(error)}). Check the server and the connection, "
            f"then give the same command again; a run that had begun goes on with --resume."
        ) from error


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


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error is about."""
    found = (getattr(cause, "status", None) for cause in _causes(error))
    return next((status for status in found if isinstance(status, int)), None)


def _is_missing(error: BaseException) -> bool:
    """Whether there is no such file. fsspec calls a web address not found whatever its server answered."""
    *_, root = _causes(error)
    is_no_bucket = "NoSuchBucket" in str(root)
    return is_no_bucket or isinstance(root, FileNotFoundError) or _status(error) in (404, 410)


def _is_no_address(error: BaseException) -> bool:
    """Whether a library refuses what it was asked for; an answer that it cannot decode is another ValueError."""
    *_, root = _causes(error)
    others = OSError | UnicodeError | JSONDecodeError  # some of which are ValueErrors
    return isinstance(root, ValueError) and not isinstance(root, others)


def _is_denied(error: BaseException) -> bool:
    no_credentials = any("Credentials" in type(cause).__name__ for cause in _causes(error))
    return (
        no_credentials
        or _status(error) in (401, 403)
        or any(isinstance(c, PermissionError) for c in _causes(error))
    )


def _is_untrusted(error: BaseException) -> bool:
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def _reason(error: BaseException) -> str:
    *_, root = _causes(error)
    return f"{type(root).__name__}: {root}" if str(root) else type(root).__name__
