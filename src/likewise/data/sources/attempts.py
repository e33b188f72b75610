"""Requests to a server, made again where it fails, and what its answers mean."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from json import JSONDecodeError
from typing import TypeVar
from urllib.parse import urlsplit

from likewise.errors import EnvironmentIOError, LikewiseError

Result = TypeVar("Result")

ATTEMPTS = 5
"""How often a request is made before a run ends."""

FIRST_WAIT = 1.0
"""Seconds between the first attempt and the second; between later ones twice as many each time."""

CREDENTIALS = {
    "s3": ", for instance AWS_PROFILE or AWS_ACCESS_KEY_ID",
    "gs": ", for instance GOOGLE_APPLICATION_CREDENTIALS",
    "hf": ": HF_TOKEN",
}
"""Where a protocol's library looks for credentials."""


class AccessDenied(EnvironmentIOError):
    """A server does not let a file be read, or does not say that it is missing."""


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
