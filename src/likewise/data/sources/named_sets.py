"""Data sets that go by a name."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from likewise.data.batch import UNLABELLED
from likewise.data.columns.boxes import SOUND_BOX, Boxes
from likewise.data.columns.masks import Masks
from likewise.data.manifest import Manifest
from likewise.data.pixel_source import ArrayPixels
from likewise.data.sources.idx import read_idx
from likewise.data.synthetic.fashion_pairs import fashion_pairs
from likewise.data.synthetic.flow_videos import MOTIONS, flow_videos
from likewise.data.synthetic.lip_videos import FRAME_RATE as SPEAKING_RATE
from likewise.data.synthetic.lip_videos import WORDS, lip_videos
from likewise.data.synthetic.scenes import BACKGROUND, paste_scenes
from likewise.data.synthetic.sound_videos import FRAME_RATE as SOUNDING_RATE
from likewise.data.synthetic.sound_videos import sound_videos
from likewise.data.video.clips import clip_manifest
from likewise.errors import EnvironmentIOError, LikewiseError

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""where Debian's package dataset-fashion-mnist puts the files"""
SPOKEN = {"train": 700, "test": 300}
"""clips of synthetic-lip-videos"""
DOWNLOADS = Path("~/.cache/likewise")


def fashion_mnist() -> Manifest:
    """Fashion-MNIST: 60,000 training and 10,000 test photographs of clothes, 28x28 gray, ten classes.

    Xiao, Rasul and Vollgraf 2017, https://arxiv.org/abs/1708.07747, MIT licence. Read from Debian's package where it
    is installed, else downloaded once by torchvision.

    Raises:
        EnvironmentIOError: neither is possible; the message says what to do.
    """
    folder = FASHION_FOLDER if FASHION_FOLDER.is_dir() else _downloaded_fashion_mnist()
    train = (
        read_idx(folder / "train-images-idx3-ubyte.gz"),
        read_idx(folder / "train-labels-idx1-ubyte.gz"),
    )
    test = (
        read_idx(folder / "t10k-images-idx3-ubyte.gz"),
        read_idx(folder / "t10k-labels-idx1-ubyte.gz"),
    )
    return _train_and_test("fashion-mnist", train, test)


def fashion_mnist_mini() -> Manifest:
    """A tenth of Fashion-MNIST, bundled: 1,000 training and 200 test images of each class.

    ``tools/make_fashion_mnist_mini.py`` drew it, with a stated seed. An id is the row in the full set, so that a
    split file of the one means the same images in the other.
    """
    packed = (
        resources.files("likewise.data").joinpath("bundled/fashion-mnist-mini.npz").read_bytes()
    )
    with np.load(io.BytesIO(packed)) as file:
        content = dict(file)
    return _train_and_test(
        "fashion-mnist-mini",
        (content["train_images"], content["train_labels"]),
        (content["test_images"], content["test_labels"]),
        (content["train_rows"], content["test_rows"]),
    )


def fashion_scenes() -> Manifest:
    """4,000 training and 500 test scenes of 64x64 gray pixels, made from `fashion_mnist_mini` with a mask each.

    Training scenes show training garments alone, test scenes test garments. Eleven classes: the background and the ten
    garments; images as a whole have none.
    """
    garments = fashion_mnist_mini()
    parts = []
    for name, count in (("train", 4000), ("test", 500)):
        part = garments.split(name)
        assert isinstance(part.pixels, ArrayPixels)
        scenes = paste_scenes(
            part.pixels.array, part.labels.numpy(), count, seed=0 if name == "train" else 1
        )
        parts.append((name, scenes))
    images = np.concatenate([scenes.images for _, scenes in parts])
    masks = np.concatenate([scenes.masks for _, scenes in parts])
    return Manifest(
        source="fashion-scenes",
        pixels=ArrayPixels(images),
        labels=torch.full((len(images),), UNLABELLED),
        splits=np.repeat([name for name, _ in parts], [len(scenes.images) for _, scenes in parts]),
        ids=[f"{name}/{row:05d}" for name, scenes in parts for row in range(len(scenes.images))],
        masks=Masks(list(masks), class_names=(BACKGROUND, *FASHION_CLASSES)),
    )


def synthetic_flow_videos() -> Manifest:
    """2,000 training and 500 test clips, 8 frames of 32x32 gray pixels, of a garment that moves; labelled by motion.

    Test clips show test garments. Masks are of the middle frame: background and garment. Flow is found when it is first
    requested, as it is of videos, although the true one is known (`likewise.data.synthetic.flow_videos`).
    """
    garments = fashion_mnist_mini()
    parts = []
    for name, count in (("train", 2000), ("test", 500)):
        part = garments.split(name)
        assert isinstance(part.pixels, ArrayPixels)
        seed = 0 if name == "train" else 1
        parts.append(flow_videos(part.pixels.array, part.labels.numpy(), count, seed))
    frames = np.concatenate([clips.frames for clips in parts])
    middle = [mask for clips in parts for mask in clips.objects[:, frames.shape[1] // 2]]
    return clip_manifest(
        "synthetic-flow-videos",
        frames,
        frame_rate=8.0,
        labels=np.concatenate([clips.motions for clips in parts]),
        class_names=MOTIONS,
        splits=np.repeat(["train", "test"], [len(clips.frames) for clips in parts]),
        masks=Masks(middle, class_names=(BACKGROUND, "garment")),
    )


@cache
def synthetic_lip_videos() -> Manifest:
    """700 training and 300 test clips of drawn mouths that say one of ten made-up words, with their sound."""
    parts = [lip_videos(count, seed) for seed, count in enumerate(SPOKEN.values())]
    frames, sound, words = map(np.concatenate, zip(*parts, strict=True))
    splits = np.repeat(list(SPOKEN), list(SPOKEN.values()))
    return clip_manifest("synthetic-lip-videos", frames, SPEAKING_RATE, words, WORDS, splits, sound)


def synthetic_sound_videos() -> Manifest:
    """1,600 training and 200 test clips of two bouncing garments of which one sounds: 32 frames of 32x32 gray pixels.

    Made from `fashion_mnist_mini` in some seconds, training clips from training garments alone. Labels name the garment
    that sounds, and a column says where it is.
    """
    garments, parts = fashion_mnist_mini(), []
    for number, (name, count) in enumerate((("train", 1600), ("test", 200))):
        part = garments.split(name)
        assert isinstance(part.pixels, ArrayPixels)
        parts.append(sound_videos(part.pixels.array, part.labels.numpy(), count, seed=number))
    frames, sound, labels, boxes = (np.concatenate(column) for column in zip(*parts, strict=True))
    splits = np.repeat(["train", "test"], [len(part.labels) for part in parts])
    made = clip_manifest(
        "synthetic-sound-videos", frames, SOUNDING_RATE, labels, FASHION_CLASSES, splits, sound
    )
    return replace(made, columns={**made.columns, SOUND_BOX: Boxes(boxes)})


NAMED_SETS: dict[str, Callable[[], Manifest]] = {
    "fashion-mnist": fashion_mnist,
    "fashion-mnist-mini": fashion_mnist_mini,
    "fashion-scenes": fashion_scenes,
    "fashion-pairs": partial(fashion_pairs, fashion_mnist_mini),
    "synthetic-flow-videos": synthetic_flow_videos,
    "synthetic-lip-videos": synthetic_lip_videos,
    "synthetic-sound-videos": synthetic_sound_videos,
}


def _train_and_test(
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    rows: tuple[np.ndarray, np.ndarray] | None = None,
) -> Manifest:
    counts = len(train[0]), len(test[0])
    train_rows, test_rows = rows or (np.arange(counts[0]), np.arange(counts[1]))
    return Manifest(
        source=name,
        pixels=ArrayPixels(np.concatenate([train[0], test[0]])),
        labels=torch.from_numpy(np.concatenate([train[1], test[1]]).astype(np.int64)),
        splits=np.repeat(["train", "test"], counts),
        ids=[f"train/{row:05d}" for row in train_rows] + [f"test/{row:05d}" for row in test_rows],
        class_names=FASHION_CLASSES,
    )


def _downloaded_fashion_mnist() -> Path:
    """The folder into which torchvision's downloader has put the files."""
    from torchvision.datasets import FashionMNIST

    folder = DOWNLOADS.expanduser()
    try:
        FashionMNIST(str(folder), download=True)
    except (OSError, RuntimeError) as error:
        raise EnvironmentIOError(
            f"fashion-mnist could not be downloaded ({error}). Go online, install Debian's package "
            f"dataset-fashion-mnist, or use the bundled tenth of it: fashion-mnist-mini."
        ) from error
    return folder / "FashionMNIST" / "raw"


def named_set(name: str) -> Manifest:
    """Open a set by its name.

    Raises:
        LikewiseError: no set has that name.
    """
    if name not in NAMED_SETS:
        raise LikewiseError(
            f"No data set is named {name!r}. Known: {', '.join(sorted(NAMED_SETS))}."
        )
    return NAMED_SETS[name]()
