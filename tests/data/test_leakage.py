from __future__ import annotations

import json

import numpy as np
from PIL import Image, ImageOps

import likewise as lw
from data.pictures import photograph
from likewise.data.checks.leakage import find_leaks
from likewise.data.checks.near_duplicates import thumbnail


def thumbnails(images: list[Image.Image]) -> np.ndarray:
    return np.stack([thumbnail(np.asarray(image)) for image in images])


def test_copies_mirrored_and_turned_images_leak_and_others_do_not():
    train = [photograph(number) for number in range(20)]
    held_out = [
        photograph(30),
        photograph(3),
        ImageOps.mirror(photograph(11)),
        photograph(25),
        train[7].rotate(90),
    ]
    assert find_leaks(thumbnails(held_out), thumbnails(train)) == [(1, 3), (2, 11), (4, 7)]
    assert find_leaks(thumbnails(held_out[:1]), thumbnails(train)) == []


def test_a_run_warns_of_test_images_that_are_in_training(tmp_path):
    train = np.stack([np.asarray(photograph(number)) for number in range(20)])
    val = np.stack([np.asarray(photograph(number)) for number in range(20, 26)])
    test = np.concatenate([val, train[5:6, :, ::-1]])
    labels = np.arange(20) % 2
    data = {"train": (train, labels), "val": (val, labels[:6]), "test": (test, labels[:7])}
    lw.train(
        data,
        method="simclr",
        encoder="conv4",
        batch_size=8,
        steps=1,
        num_evals=0,
        out=tmp_path / "run",
    )
    warnings = json.loads((tmp_path / "run" / "data.json").read_text())["warnings"]
    (warning,) = [warning for warning in warnings if "doctor" in warning]
    assert warning.startswith("1 of 7 test images")
