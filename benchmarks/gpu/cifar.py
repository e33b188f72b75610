"""CIFAR-10 (JPEG) decoded once and kept on the device."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from likewise.data.open_images import open_images
from likewise.data.sources.open import open_manifest

CLASSES = 10
SIDE = 32
VALIDATION = 5000
"""of the 50,000 training images; what is chosen is chosen by them"""
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)


class Split(NamedTuple):
    """Images and their labels, on the device."""

    images: Tensor
    """uint8 [N, 3, 32, 32]"""
    labels: Tensor
    """int64 [N]"""

    def take(self, index: Tensor) -> Split:
        """Some of them."""
        return Split(self.images[index], self.labels[index])

    def __len__(self) -> int:
        return len(self.labels)


class Cifar(NamedTuple):
    """The three parts."""

    train: Split
    validation: Split
    test: Split

    def everything(self) -> Split:
        """All training images, validation included."""
        return Split(*(torch.cat(parts) for parts in zip(self.train, self.validation, strict=True)))


def opened(folder: Path, device: torch.device, most: int | None = None) -> Cifar:
    """From ``cifar10-jpeg75-{train,test}.parquet`` in a folder; ``most`` images of each file where it is given."""
    files = [folder / f"cifar10-jpeg75-{part}.parquet" for part in ("train", "test")]
    on_host = [decoded(file, most) for file in files]  # which forks, and so before CUDA starts
    train, test = (Split(*(part.to(device) for part in split)) for split in on_host)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0)).to(device)
    held_out = min(VALIDATION, len(order) // 5)
    return Cifar(train.take(order[held_out:]), train.take(order[:held_out]), test)


def decoded(file: Path, most: int | None) -> Split:
    """One file, by the library's decoder on all cores; on the CPU."""
    manifest = open_manifest(file)
    if most is not None:
        manifest = manifest.take(np.random.default_rng(0).permutation(len(manifest))[:most])
    images = open_images(manifest, SIDE, channels=3)
    return Split(images.read(torch.arange(len(images))).images, manifest.labels)


def labelled(labels: Tensor, each: int, seed: int) -> Tensor:
    """Positions of so many images of each class, drawn at random; sorted by class."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    found = [order[labels[order] == number][:each] for number in range(CLASSES)]
    return torch.cat(found)


def long_tailed(labels: Tensor, ratio: float, seed: int) -> Tensor:
    """Positions with exponentially fewer images from class to class; the last has 1 / ratio of the first's."""
    most = len(labels) // CLASSES
    counts = [int(most * ratio ** (-number / (CLASSES - 1))) for number in range(CLASSES)]
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    return torch.cat(
        [order[labels[order] == number][:count] for number, count in enumerate(counts)]
    )
