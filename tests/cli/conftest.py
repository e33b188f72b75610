"""A folder of small photographs."""

import numpy as np
import pytest
from PIL import Image

SHORT = (
    "--image-size",
    "16",
    "--batch-size",
    "8",
    "--steps",
    "2",
    "--num-evals",
    "1",
    "--device",
    "cpu",
)


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
