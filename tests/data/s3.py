"""An S3-compatible server on this machine."""

from __future__ import annotations

from contextlib import contextmanager

import pytest


@contextmanager
def s3_server():
    """The file system of a server with the bucket ``bucket``; its address and credentials are in the environment."""
    moto = pytest.importorskip("moto.server", reason="needs moto[s3], flask and flask-cors")
    s3fs = pytest.importorskip("s3fs", reason='needs pip install "likewise[remote]"')
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        files = s3fs.S3FileSystem(skip_instance_cache=True)
        files.mkdir("bucket")
        yield files
    server.stop()
