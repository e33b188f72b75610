"""Draw fashion-mnist-mini from the full Fashion-MNIST: ``python tools/make_fashion_mnist_mini.py``.

Seed 0; 1,000 training and 200 test images of each of the ten classes, in the order of the full set, each with its
row there. The full set is read as the name ``fashion-mnist`` reads it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from likewise.data.pixel_source import ArrayPixels
from likewise.data.sources.named_sets import fashion_mnist

SEED = 0
TRAIN_PER_CLASS = 1000
TEST_PER_CLASS = 200
TARGET = Path(__file__).parents[1] / "src/likewise/data/bundled/fashion-mnist-mini.npz"


def draw() -> dict[str, np.ndarray]:
    """The arrays of the file: images, labels and rows of both splits."""
    full = fashion_mnist()
    assert isinstance(full.pixels, ArrayPixels)
    chance = np.random.default_rng(SEED)
    content = {}
    for split, per_class in (("train", TRAIN_PER_CLASS), ("test", TEST_PER_CLASS)):
        of_split = np.flatnonzero(full.splits == split)
        labels = full.labels.numpy()[of_split]
        drawn = [
            chance.choice(np.flatnonzero(labels == c), per_class, replace=False)
            for c in range(full.classes)
        ]
        rows = np.sort(np.concatenate(drawn))
        content[f"{split}_images"] = full.pixels.array[of_split[rows]]
        content[f"{split}_labels"] = labels[rows].astype(np.uint8)
        content[f"{split}_rows"] = rows.astype(np.int32)
    return content


if __name__ == "__main__":
    np.savez_compressed(TARGET, **draw())  # type: ignore[arg-type]
    print(f"{TARGET}: {TARGET.stat().st_size / 1e6:.1f} MB")
