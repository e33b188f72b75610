"""A disk that refuses: the old file stays, nothing half written is left, and the message says where and what to do."""

import errno
import os
import resource
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from likewise.atomic_write import (
    atomic_write,
    disk_error,
    refused_by_disk,
    write_arrays,
    write_bytes,
)
from likewise.errors import EnvironmentIOError

SMALL_DISK = ["unshare", "--user", "--map-root-user", "--mount"]


def on_a_small_disk(script, folder):
    """Run Python with a disk of 1 MB at ``folder``; skipped where that needs rights that are not there."""
    probe = subprocess.run([*SMALL_DISK, "true"], capture_output=True, check=False, timeout=300)
    if probe.returncode:
        pytest.skip("a small disk needs the right to mount one in a namespace of its own")
    mount = f'mount -t tmpfs -o size=1m none {folder} && exec {sys.executable} -c "$0" {folder}'
    return subprocess.run(
        [*SMALL_DISK, "sh", "-c", mount, textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_full_disk_keeps_the_old_file_and_says_how_much_was_needed(tmp_path):
    done = on_a_small_disk(
        """
        import os, sys
        from pathlib import Path
        from likewise.atomic_write import write_bytes
        from likewise.errors import EnvironmentIOError
        path = Path(sys.argv[1]) / "a.ckpt"
        write_bytes(path, b"old")
        try:
            write_bytes(path, b"x" * 3_000_000)
        except EnvironmentIOError as error:
            print(error)
        print(path.read_bytes(), os.listdir(path.parent))
        """,
        tmp_path,
    )
    message, left = done.stdout.splitlines()
    assert str(tmp_path / "a.ckpt") in message and "3.0 MB" in message and "free" in message
    assert left == "b'old' ['a.ckpt']"


@pytest.fixture
def limit():
    """No file of more than 100 kB may be written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_limit_of_the_shell_is_named(tmp_path, limit):
    path = tmp_path / "a.npz"
    write_arrays(path, a=np.zeros(3))
    before = path.read_bytes()
    with pytest.raises(EnvironmentIOError, match="ulimit"):
        write_arrays(path, a=np.random.default_rng(0).random(100_000))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.npz"]


def test_an_error_of_the_content_is_no_error_of_the_disk(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "a") as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_gone_and_one_that_may_not_be_written_to_are_told_apart(tmp_path):
    with pytest.raises(EnvironmentIOError, match="gone"):
        write_bytes(tmp_path / "gone" / "a", b"x")
    denied = disk_error(tmp_path / "a", PermissionError(errno.EACCES, "Permission denied"))
    assert "--out" in str(denied) and "free" not in str(denied)


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "full"), errno.ENOSPC),
        (
            RuntimeError(
                "Error while serializing: I/O error: No space left on device (os error 28)"
            ),
            errno.ENOSPC,
        ),
        (
            RuntimeError(
                "[enforce fail at inline_container.cc:672] . PytorchStreamWriter failed writing"
            ),
            errno.ENOSPC,
        ),
        (RuntimeError("shapes differ"), None),
    ],
)
def test_the_disk_is_recognised_behind_errors_of_other_libraries(error, number):
    refusal = refused_by_disk(error)
    assert (refusal and refusal.errno) == number
