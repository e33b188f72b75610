"""A stand-in for Google Cloud Storage on this machine."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager

import fsspec
import pytest


@contextmanager
def gcs_server():
    """The file system of a server with the bucket ``bucket``; its address is in the environment."""
    # Read when gcsfs is imported: the stand-in has no gRPC, at which gcsfs tries for minutes.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    emulator = pytest.importorskip(
        "gcp_storage_emulator.server", reason="needs gcp-storage-emulator"
    )
    gcsfs = pytest.importorskip("gcsfs", reason='needs pip install "likewise[gcs]"')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        for protocol in ("gs", "gcs"):
            patch.setitem(fsspec.config.conf, protocol, {"token": "anon"})
        yield gcsfs.GCSFileSystem(token="anon", skip_instance_cache=True)
    server.stop()
