"""Runs on shards of an S3-compatible server: killed, resumed, and on two processes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from data.s3 import s3_server
from data.test_webdataset import examples, write_tar

STEPS = 10

SCRIPT = f"""
import json, os, sys, time
import torch
from likewise.data import loader, open_images
import likewise as lw

open_images.MEMORY_LIMIT = 0  # so that images are read from the shards at each step
seen, batches = [], loader.Loader.batches

def noted(self, first, last):
    for step, batch in zip(range(first, last), batches(self, first, last)):
        seen.append([step, batch.indices.tolist()])
        print(step, flush=True)
        time.sleep(0.3 * ("slowly" in sys.argv))
        yield batch

loader.Loader.batches = noted
out, devices, resume = sys.argv[1], int(sys.argv[2]), "resume" in sys.argv
lw.train("s3://bucket/set/{{0..5}}.tar", method="simclr", encoder="conv4-half", labels="none", out=out, resume=resume,
    batch_size=8, steps={STEPS}, save_every=2, num_evals=0, device="cpu", loggers=(), devices=devices, num_workers=1,
    shuffle_buffer=8, cache_dir="copies", test_data="s3://bucket/set/6.tar", val_fraction=0.01)
with open(out + "-rank-" + os.environ.get("LOCAL_RANK", "0") + ".json", "w") as file:
    json.dump(seen, file)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the script, and a bucket with six archives of eight images each and one of test images."""
    with s3_server() as files:
        for number in range(7):
            path = write_tar(tmp_path / f"{number}.tar", examples(8, first=8 * number))
            files.put(str(path), f"bucket/set/{number}.tar")
            path.unlink()
        size = files.info("bucket/set/0.tar")["size"]
        monkeypatch.setenv("LIKEWISE_CACHE_SIZE", str(4 * size))
        (tmp_path / "script.py").write_text(SCRIPT)
        yield tmp_path


def started(folder, *words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "script.py", *map(str, words)]
    return subprocess.Popen(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finished(process):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


def seen(folder, name):
    path, deadline = folder / f"{name}.json", time.monotonic() + 60
    while not (path.exists() and path.read_text().endswith("]]]")):
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.1)
    return json.loads(path.read_text())


@pytest.mark.slow
def test_a_killed_run_resumes_bit_for_bit_and_two_ranks_see_every_image_once(folder):
    finished(started(folder, "whole", 1))
    killed = started(folder, "killed", 1, "slowly")
    while killed.stdout.readline().strip() != b"6":  # a checkpoint is written every 2 steps
        assert killed.poll() is None, killed.stderr.read().decode()
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=300)
    finished(started(folder, "killed", 1, "resume"))
    whole, resumed = seen(folder, "whole-rank-0"), seen(folder, "killed-rank-0")
    assert 0 < len(resumed) < len(whole) == STEPS
    assert resumed == whole[-len(resumed) :]
    weights = [(folder / name / "encoder.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]

    finished(started(folder, "two", 2))
    ranks = [seen(folder, f"two-rank-{rank}") for rank in (0, 1)]
    for (step, of_one), (_, first), (_, second) in zip(whole, *ranks, strict=True):
        assert of_one == first + second, step
    epoch = [row for _, rows in whole[:5] for row in rows]
    assert len(epoch) == len(set(epoch)) == 40
