"""Google Cloud Storage, the web with and without listings, certificates, and protocols whose library is missing."""

from __future__ import annotations

import functools
import os
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from data.gcs import gcs_server
from data.test_remote import assert_same
from data.test_webdataset import examples, write_tar
from likewise.data.sources import attempts
from likewise.data.sources.open import open_manifest
from likewise.errors import EnvironmentIOError, LikewiseError

pytestmark = pytest.mark.usefixtures("quick_attempts")


@pytest.fixture
def shards(tmp_path):
    """Three archives of four images each."""
    for number in range(3):
        write_tar(tmp_path / "set" / f"shard-{number}.tar", examples(4, first=4 * number))
    return tmp_path / "set"


@contextmanager
def web_server(folder, context=None):
    """A server that lists folders."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    ).start()
    try:
        yield f"{'http' if context is None else 'https'}://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def trust(tmp_path):
    """A certificate authority's file, and a server's side of TLS."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem", context


@pytest.mark.parametrize(
    "pattern", ["set/shard-{0..2}.tar", "set/*.tar", "set/shard-[0-2].tar", "set/"]
)
def test_google_cloud_storage_and_the_web_take_the_same_patterns(shards, cache, pattern):
    local = open_manifest(shards)
    with web_server(shards.parent) as web:
        assert_same(open_manifest(f"{web}/{pattern}", cache=cache), local)
    with gcs_server() as files:
        for path in shards.glob("*.tar"):
            files.put(str(path), f"bucket/set/{path.name}")
        assert_same(open_manifest(f"gs://bucket/{pattern}", cache=cache), local)
        with pytest.raises(LikewiseError, match=r"gs://bucket/set/shard-3\.tar"):
            open_manifest("gs://bucket/set/shard-{2..3}.tar", cache=cache)


def test_https_is_read_from_a_server_that_is_trusted(shards, cache, trust, monkeypatch):
    authority, context = trust
    with web_server(shards, context) as web:
        with pytest.raises(EnvironmentIOError, match="SSL_CERT_FILE"):
            open_manifest(f"{web}/shard-{{0..2}}.tar", cache=cache)
        monkeypatch.setattr(
            "aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context(cafile=authority)
        )
        assert_same(open_manifest(f"{web}/shard-{{0..2}}.tar", cache=cache), open_manifest(shards))
        # What the message advises is read once, when a process begins.
        code = "import sys; from likewise.data.sources.urls import look_up; print(look_up(sys.argv[1:])[0].size)"
        words = [sys.executable, "-c", code, f"{web}/shard-0.tar"]
        told = subprocess.run(
            words,
            env={**os.environ, "SSL_CERT_FILE": str(authority)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert told.stdout.strip() == str((shards / "shard-0.tar").stat().st_size), told.stderr


@pytest.mark.parametrize(("url", "module", "package"), [
    ("gs://bucket/a.tar", "gcsfs", "likewise[gcs]"), ("s3://bucket/a.tar", "s3fs", "likewise[remote]"),
    ("https://localhost/a.tar", "aiohttp", "likewise[remote]"), ("abfs://bucket/a.tar", "adlfs", "adlfs"),
])  # fmt: skip
def test_a_missing_library_is_named_with_what_to_install(cache, monkeypatch, url, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    monkeypatch.delitem(
        sys.modules["fsspec.registry"]._registry, url.partition(":")[0], raising=False
    )
    with pytest.raises(LikewiseError) as refused:
        open_manifest(url, cache=cache)
    assert f"pip install {package}" in str(refused.value).replace('"', "")


def test_a_protocol_that_nobody_knows_is_named(cache):
    with pytest.raises(LikewiseError, match="s4"):
        open_manifest("s4://bucket/a.tar", cache=cache)


@pytest.mark.parametrize("pattern", ["s3://bucket/{0..1.tar", "shard-{0,1.tar"])
def test_braces_that_do_not_match_are_refused(pattern, shards, monkeypatch):
    monkeypatch.chdir(shards)
    with pytest.raises(LikewiseError, match="brace"):
        open_manifest(pattern)


@pytest.mark.parametrize("url", ["https://", "http://[::1/x.tar"])
def test_an_address_that_is_none_is_refused_at_once(url, monkeypatch):
    monkeypatch.setattr(attempts, "FIRST_WAIT", 60)
    with pytest.raises(LikewiseError, match="address") as refused:
        open_manifest(url)
    assert not isinstance(refused.value, EnvironmentIOError)
