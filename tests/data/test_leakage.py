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
    held_out = [photograph(30), photograph(3), ImageOps.mirror(photograph(11)), photograph(25), train[7].rotate(90)]
    assert find_leaks(thumbnails(held_out), thumbnails(train)) == [(1, 3), (2, 11), (4, 7)]
    assert find_leaks(thumbnails(held_out[:1]), thumbnails(train)) == []


def test_a_run_warns_of_test_images_that_are_in_training(tmp_path):
    train = np.stack([np.asarray(photograph(number)) for number in range(20)])
    test = np.stack([np.asarray(photograph(number)) for number in range(20, 26)])
    labels = np.arange(20) % 2

    def warnings(test_images: np.ndarray) -> list[str]:
        data = {"train": (train, labels), "test": (test_images, labels[: len(test_images)])}
        folder = tmp_path / str(len(test_images))
        lw.train(data, method="simclr", encoder="conv4", batch_size=8, steps=1, out=folder)
        return json.loads((folder / "data.json").read_text())["warnings"]

    assert not any("doctor" in warning for warning in warnings(test))
    leaky = np.concatenate([test, train[5:6, :, ::-1]])
    (warning,) = [warning for warning in warnings(leaky) if "doctor" in warning]
    assert warning.startswith("1 of 7 test images")
