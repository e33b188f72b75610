"""Real runs in processes of their own, which tests kill, starve and mislead."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from likewise.run_folder import RunFolder

SETTINGS = (
    "--method", "supcon", "--encoder", "conv4-half", "--batch-size", "16", "--save-every", "2", "--num-evals", "0",
    "--device", "cpu", "--seed", "3",
)  # fmt: skip
PATIENCE = 900.0
"""Seconds that a process may take on a busy machine; none is expected to."""
FOREVER = ("--steps", "1000000")


def write_pictures(folder, count=40, side=16):
    """Two classes of noise, dark and bright."""
    rng = np.random.default_rng(0)
    for name, level in (("dark", 60), ("bright", 190)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(rng.normal(level, 40, (side, side, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")
    return folder


def environment(**more):
    settings = {"COLUMNS": "200", "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **settings, **more}


def command(*words):
    return [sys.executable, "-m", "likewise.cli", *map(str, words)]


FROM_FILES = """
import sys
from likewise.data import open_images
open_images.MEMORY_LIMIT = 0
from likewise import cli
cli.main(sys.argv[1:])
"""


def from_files(words):
    """The same command, but as for images that do not fit in memory: worker processes decode them."""
    return [sys.executable, "-c", FROM_FILES, *words[3:]]


def training(data, out, *more):
    return command("train", data, "--out", out, *SETTINGS, *more)


def resume(out):
    """The option that goes on with the run in a folder; a process that was killed early has left none."""
    return ["--resume"] if RunFolder(out).config.exists() else []


def start(words, **more):
    """A process whose output is read at its end."""
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(**more),
        cwd="/",
    )


def finish(process, timeout=PATIENCE):
    """Exit code and output; a process that does not end is killed, which fails the test."""
    try:
        output = process.communicate(timeout=timeout)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        output = process.communicate(timeout=300)[0]
        raise AssertionError(
            f"the process did not end within {timeout} s:\n{output[-2000:]}"
        ) from None
    return process.returncode, output


def run(words, timeout=PATIENCE, **more):
    return finish(start(words, **more), timeout)


def require_plain(output):
    """No traceback, and no advice of another library's."""
    for word in ("Traceback", "weights_only", "gloo/", "RuntimeError"):
        assert word not in output, output[-3000:]


def wait_for(condition, timeout=PATIENCE, process=None):
    """Wait until something holds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "waited too long"
        assert process is None or process.poll() is None, process.communicate(timeout=300)[0][
            -3000:
        ]
        time.sleep(0.01)


def wait_for_checkpoint(out: Path, process):
    wait_for((out / "checkpoints" / "last.ckpt").exists, process=process)


def children_of(pid):
    """Ids of a process's children."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_at_random(process, rng: random.Random, longest):
    """SIGKILL at some instant, if the process has not ended before."""
    time.sleep(rng.uniform(0, longest))
    process.send_signal(signal.SIGKILL)
    process.wait(300)


def losses(out: Path):
    """What ``metrics.jsonl`` says of each step but times."""
    lines = list(RunFolder(out).metric_lines())  # a line that is being written is passed over
    return [
        {name: value for name, value in line.items() if "seconds" not in name}
        for line in lines
        if "loss" in line
    ]


def end_of(out):
    """What must be equal of two runs: hash of the encoder, losses, scores."""
    return (
        hashlib.sha256((out / "encoder.safetensors").read_bytes()).hexdigest(),
        losses(out),
        json.loads((out / "scores.json").read_text()),
    )
