"""Servers on this machine: a folder over HTTP with faults on request, and an S3-compatible one."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class FileServer:
    """The files of a folder at ``url``, and faults to set while it runs.

    Attributes:
        busy: how many requests of a file are still answered by 503.
        cut: how many transfers of a file still end in the middle.
        flipped: how many transfers of a file still have one other byte.
        delay: seconds before each answer.
        ranges: whether parts of files are given.
        denied: names of files of which access is denied.
        requested: how often each file was requested.
        sent: bytes of each file that were sent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.delay, self.ranges = folder, 0.0, True
        self.busy = Counter()
        self.cut = Counter()
        self.flipped = Counter()
        self.denied = set()
        self.requested = Counter()
        self.sent = Counter()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                server.answer(self, with_body=False)

            def do_GET(self):
                server.answer(self, with_body=True)

            def log_message(self, format, *args):
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 64

        self.http = Server(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def answer(self, request, with_body):
        name = request.path.strip("/")
        if with_body:
            self.requested[name] += 1
        time.sleep(self.delay)
        path = self.folder / name
        if self.busy[name] > 0:
            self.busy[name] -= 1
            request.send_error(503)
            return
        if name in self.denied or not path.is_file():
            request.send_error(403 if name in self.denied else 404)
            return
        content, asked = path.read_bytes(), request.headers.get("Range")
        part = asked is not None and self.ranges
        if part:
            start, end = asked.removeprefix("bytes=").split("-")
            whole, content = len(content), content[int(start) : int(end) + 1]
        request.send_response(206 if part else 200)
        if part:
            request.send_header(
                "Content-Range", f"bytes {start}-{int(start) + len(content) - 1}/{whole}"
            )
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if with_body:
            spoilt = self.spoilt(name, content)
            self.sent[name] += len(spoilt)
            request.wfile.write(spoilt)
            request.wfile.flush()

    def spoilt(self, name, content):
        if self.cut[name] > 0:
            self.cut[name] -= 1
            return content[: len(content) // 2]
        if self.flipped[name] > 0:
            self.flipped[name] -= 1
            return bytes([content[0] ^ 255]) + content[1:]
        return content


@contextmanager
def serve(folder: Path):
    """A server of a folder."""
    server = FileServer(folder)
    thread = threading.Thread(
        target=server.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
