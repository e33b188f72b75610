"""Disks that are full, slow or not writable: the message says where, and what is there stays whole."""

import os
import random
import shlex
import signal
import subprocess
import time

import pytest

from faults.processes import (
    FOREVER,
    command,
    finish,
    from_files,
    losses,
    require_plain,
    run,
    start,
    training,
    wait_for,
    wait_for_checkpoint,
)
from likewise.run_folder import RunFolder
from likewise.training.checkpoint import damage, find_start

pytestmark = [pytest.mark.slow, pytest.mark.faults]

SMALL_DISK = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]

SLOW = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>
ssize_t write(int to, const void *from, size_t count) {
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    struct stat found;
    if (fstat(to, &found) == 0 && S_ISREG(found.st_mode)) {
        usleep(2000);
        if (count > 16384) count = 16384;
    }
    return real(to, from, count);
}
"""
"""A disk that takes 8 MB a second, in many small writes."""


def on_a_small_disk(*lines):
    """A shell in which disks may be mounted; skipped where that needs rights that are not there."""
    if subprocess.run(
        [*SMALL_DISK, "true"], capture_output=True, check=False, timeout=300
    ).returncode:
        pytest.skip("a small disk needs the right to mount one in a namespace of its own")
    return run([*SMALL_DISK, "\n".join(lines)], timeout=900)


def test_a_full_disk_keeps_the_last_checkpoint_and_the_run_goes_on_where_there_is_room(
    pictures, trained, tmp_path
):
    disk, out, kept = tmp_path / "disk", tmp_path / "disk" / "run", tmp_path / "kept"
    disk.mkdir()
    train = shlex.join(training(pictures, out, "--steps", 12))
    _, output = on_a_small_disk(
        f"mount -t tmpfs -o size=4500k none {disk}",
        f"{train}; echo code $?",
        f"ls {out}/checkpoints; cp {out}/checkpoints/last.ckpt {kept}",
        f"mount -o remount,size=60m {disk}",
        f"{train} --resume; echo code $?",
        f"cp {out}/encoder.safetensors {tmp_path}/encoder",
    )
    require_plain(output)
    full, _, rest = output.partition("code 1")
    assert "code 0" in rest, output
    assert str(out) in full.replace("\n", "") and "free" in full and "--resume" in full
    assert (
        "last.ckpt" in rest and ".partial" not in rest.partition("code 0")[0].partition("data ")[0]
    )
    assert not damage(kept)
    assert (tmp_path / "encoder").read_bytes() == (trained / "encoder.safetensors").read_bytes()


WRITTEN = {
    "embed": "vectors.parquet",
    "predict": "classes.csv",
    "safetensors": "encoder.safetensors",
    "onnx": "encoder.onnx",
    "torchscript": "encoder.pt",
}
"""What each command writes; the last ones are formats of export."""


@pytest.mark.parametrize("what", WRITTEN)
def test_other_commands_name_the_file_that_found_no_room(what, pictures, trained, tmp_path):
    if what == "onnx":
        pytest.importorskip("onnx")
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["export", trained, "--to", what]
    if what in ("embed", "predict"):
        words = [what, trained, pictures]
    words = command(*words, "--out", disk / WRITTEN[what])
    code, output = on_a_small_disk(
        f"mount -t tmpfs -o size=4k none {disk}",
        f"{shlex.join(words)}; code=$?; echo left: $(ls -A {disk}); exit $code",
    )
    message, _, left = output.partition("left:")
    require_plain(output)
    assert code == 1, output
    assert str(disk / WRITTEN[what]) in message and "free" in message
    assert WRITTEN[what] not in left.split()  # rows of predict stay beside it


def test_a_folder_that_may_not_be_written_to_is_named(pictures, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "closed").mkdir(mode=0o500)
    code, output = run(training(pictures, tmp_path / "closed" / "run", "--steps", 2))
    require_plain(output)
    assert code == 1 and str(tmp_path / "closed") in output


def test_a_read_only_disk_is_named(pictures, trained, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    for words in (
        training(pictures, disk / "run", "--steps", 2),
        command("embed", trained, pictures, "--out", disk / "vectors.parquet"),
    ):
        code, output = on_a_small_disk(
            f"mount -t tmpfs -o ro,size=1m none {disk}", f"exec {shlex.join(words)}"
        )
        require_plain(output)
        assert code == 1 and str(disk) in output


@pytest.fixture(scope="module")
def slow_disk(tmp_path_factory):
    """A library that makes every write of a process slow and short."""
    folder = tmp_path_factory.mktemp("slow")
    (folder / "slow.c").write_text(SLOW)
    compiled = folder / "slow.so"
    words = ["cc", "-shared", "-fPIC", "-o", str(compiled), str(folder / "slow.c"), "-ldl"]
    try:
        subprocess.run(words, check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no C compiler makes the disk slow")
    return str(compiled)


def last_step(out):
    return max([0, *(line["step"] for line in losses(out))])


def test_kills_on_a_slow_disk_leave_a_whole_checkpoint(slow_disk, pictures, trained, tmp_path):
    """There a run spends most of its time in the middle of a checkpoint's write."""
    rng, out = random.Random(2), tmp_path / "run"
    process = start(training(pictures, out, *FOREVER), LD_PRELOAD=slow_disk)
    wait_for_checkpoint(out, process)
    for _ in range(2):
        time.sleep(rng.uniform(0, 1))
        process.send_signal(signal.SIGKILL)
        process.wait(300)
        # A kill may fall between two renames, where the one before the newest is all there is.
        found = find_start(RunFolder(out))
        assert found.checkpoint is not None and not found.message
        before = last_step(out)
        process = start(training(pictures, out, *FOREVER, "--resume"), LD_PRELOAD=slow_disk)
        wait_for(lambda before=before: last_step(out) > before, process=process)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    require_plain(output)
    assert code == 130
    steps = [line["step"] for line in losses(out)]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("size", ["4k", "64k"])
def test_shared_memory_that_is_full_is_named_with_what_to_type(pictures, tmp_path, size):
    """Worker processes hand over their batches in it; a container often has 64 MB."""
    words = from_files(training(pictures, tmp_path / "run", *FOREVER, "--num-workers", 2))
    shrunk = f"mount -t tmpfs -o size={size} tmpfs /dev/shm && exec {shlex.join(words)}"
    if subprocess.run(
        [*SMALL_DISK, "mount -t tmpfs tmpfs /dev/shm"], check=False, timeout=300
    ).returncode:
        pytest.skip("needs a mount of its own")
    code, output = run([*SMALL_DISK, shrunk])
    assert code == 1
    require_plain(output)
    assert "/dev/shm" in output and "--num-workers 0" in output
