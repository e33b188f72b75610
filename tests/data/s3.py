"""An S3-compatible server on this machine, and a line to it that fails on request."""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest


@contextmanager
def s3_server():
    """The file system of a server with the bucket ``bucket``; its address and credentials are in the environment."""
    moto = pytest.importorskip("moto.server", reason="needs moto[s3], flask and flask-cors")
    s3fs = pytest.importorskip("s3fs", reason='needs pip install "likewise[remote]"')
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # What earlier servers of this process held outlives them.
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
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


class FaultyLine:
    """Passes requests on to a server, and counts what it sends.

    Attributes:
        busy: how many requests of a file are still answered by 503.
        cut: how many transfers of a file still end in the middle.
        delay: seconds before each answer.
        sent: bytes of each file that were sent.
    """

    def __init__(self, server: str) -> None:
        self.server, self.delay = urlsplit(server).netloc, 0.0
        self.busy = Counter()
        self.cut = Counter()
        self.sent = Counter()
        line = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                line.answer(self)

            def do_GET(self):
                line.answer(self)

            def log_message(self, format, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def answer(self, request):
        name = urlsplit(request.path).path.rpartition("/")[2]
        time.sleep(self.delay)
        is_get = request.command == "GET"
        if is_get and self.busy[name] > 0:
            self.busy[name] -= 1
            request.send_error(503)
            return
        answer, content = self.fetched(request)
        request.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("server", "date", "connection", "transfer-encoding"):
                request.send_header(key, value)
        request.end_headers()
        if is_get and self.cut[name] > 0:
            self.cut[name] -= 1
            content = content[: len(content) // 2]
            request.close_connection = True
        if is_get:
            self.sent[name] += len(content)
            request.wfile.write(content)

    def fetched(self, request):
        connection = http.client.HTTPConnection(self.server)
        headers = {**request.headers, "Host": self.server, "Connection": "close"}
        connection.request(request.command, request.path, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content


@contextmanager
def s3_faults():
    """A line to the server of `s3_server`, whose address is in the environment meanwhile."""
    from s3fs import S3FileSystem

    line = FaultyLine(os.environ["AWS_ENDPOINT_URL"])
    thread = threading.Thread(
        target=line.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", line.url)
        S3FileSystem.clear_instance_cache()
        yield line
        S3FileSystem.clear_instance_cache()
    line.http.shutdown()
    line.http.server_close()
