"""A folder of small photographs, and the command line in a process of its own."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

SHORT = ("--image-size", "16", "--batch-size", "8", "--steps", "2", "--observations", "1", "--device", "cpu")


def write_photographs(root, classes=("cat", "dog", "owl"), each=14, size=20):
    random = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(each):
            noise = random.integers(0, 80, (size, size, 3))
            noise[..., number % 3] += 120
            Image.fromarray(noise.astype(np.uint8)).save(root / name / f"{i:02}.png")
    return root


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture
def likewise(tmp_path):
    """Run the command line; what it said, and its exit code."""

    def call(*words, timeout=240, **settings):
        environment = {**os.environ, "COLUMNS": "160", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
        return subprocess.run(
            [sys.executable, "-m", "likewise.cli", *map(str, words)],
            capture_output=True, text=True, cwd=tmp_path, timeout=timeout, env=environment, **settings,
        )  # fmt: skip

    return call
