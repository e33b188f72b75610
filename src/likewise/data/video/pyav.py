"""PyAV, which opens videos and sound and comes with an extra."""

from __future__ import annotations

from typing import Any

from likewise.errors import LikewiseError


def pyav() -> Any:
    """PyAV, which brings its own FFmpeg.

    Raises:
        LikewiseError: it is not installed.
    """
    try:
        import av
        import av.error
    except ImportError as error:
        raise LikewiseError(
            "Videos and sound need PyAV. Install it with: pip install 'likewise[video]'"
        ) from error
    return av
