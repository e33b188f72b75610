"""Pseudo-labels as a file: what it holds, that a run on it is scored by true labels, and what is refused."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

import likewise as lw
from likewise.cli import main
from likewise.runs.pseudo_labels import pseudo_label

COLOURS = ("red", "green", "blue")
MISTAKEN = (3, 4, 5, 6, 7, 8)
"""images whose label is not their colour"""


def class_of(number):
    """As the labels say."""
    return (number + (number in MISTAKEN)) % 3


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """60 images whose class is a colour, in a folder, and a file with the labels of 30."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = []
    for number in range(60):
        pixels = random.integers(0, 120, (16, 16, 3))
        pixels[..., number % 3] += 100
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02}.png")
        if number < 30:
            rows.append((f"{number:02}.png", COLOURS[class_of(number)]))
    with open(folder.parent / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    return folder


@pytest.fixture(scope="module")
def start(photos, tmp_path_factory):
    """A run whose encoder tells colours apart, as a random one does."""
    return lw.train(
        photos, labels=photos.parent / "labels.csv", method="supcon", encoder="conv4", batch_size=20, steps=2,
        num_evals=0, device="cpu", out=tmp_path_factory.mktemp("start") / "run",
    )  # fmt: skip


def labelled(photos, start, **settings):
    settings = {"from_run": str(start.folder.path), "steps": 2, "batch_size": 9, **settings}
    settings = {"adaptations": ("last:1", "full", "frozen"), "device": "cpu", **settings}
    return pseudo_label(photos, str(photos.parent / "labels.csv"), **settings)


def rows_of(found):
    return {row["path"]: row for row in found.table.to_pylist()}


@pytest.mark.parametrize("by", ["ensemble", "propagation"])
def test_each_image_has_its_label_or_a_pseudo_label(photos, start, by):
    found = labelled(photos, start, by=by)
    rows = rows_of(found)
    assert len(rows) == 60 and found.made == 30 and found.unsure == 0
    given = [f"{number:02}.png" for number in range(30)]
    for number, path in enumerate(given):
        assert (
            rows[path]["label"] == COLOURS[class_of(number)] and rows[path]["probability"] is None
        )
    others = [rows[f"{number:02}.png"] for number in range(30, 60)]
    assert {row["split"] for row in others} == {"train"}
    right = [row["label"] == COLOURS[int(row["path"][:2]) % 3] for row in others]
    assert np.mean(right) > 0.8
    for row in others:
        assert 1 / 3 <= row["probability"] <= 1


def test_a_pseudo_label_that_is_not_probable_enough_is_left_empty(photos, start):
    every = rows_of(labelled(photos, start, by="propagation"))
    probable = {path: row["probability"] for path, row in every.items() if row["probability"]}
    least = float(np.median(list(probable.values())))
    found = labelled(photos, start, by="propagation", min_probability=least)
    for path, row in rows_of(found).items():
        if path in probable:
            assert bool(row["label"]) == (probable[path] >= least)
    assert found.made == found.unsure == 15


def test_a_run_on_the_file_learns_pseudo_labels_and_is_scored_by_true_ones(photos, start, tmp_path):
    file = tmp_path / "pseudo_labels.csv"
    main(
        f"pseudo-label {photos} --labels {photos.parent / 'labels.csv'} --from {start.folder.path} --device cpu "
        f"--adaptations last:1 --steps 1 --out {file}".split()
    )  # fmt: skip
    prepared = lw.prepare(photos, labels=str(file), method="cross-entropy", encoder="conv4")
    held_out = [*prepared.splits["val"].manifest.ids, *prepared.splits["test"].manifest.ids]
    assert held_out and all(int(path[:2]) < 30 for path in held_out)
    assert bool((prepared.visible_labels >= 0).all())
    with pytest.raises(lw.LikewiseError, match="overwrite"):
        labelled(photos, start, out=file)


def test_what_cannot_be_used_is_refused(photos, start, tmp_path):
    with pytest.raises(lw.LikewiseError, match="csv"):
        labelled(photos, start, out=tmp_path / "labels.parquet")
    with pytest.raises(lw.LikewiseError, match="min_probability"):
        labelled(photos, start, min_probability=1.5)
    with pytest.raises(lw.LikewiseError, match="llowed"):
        labelled(photos, start, adaptations=("first:1",))
    with pytest.raises(lw.LikewiseError, match="--pretrained"):
        labelled(photos, start, from_run=None, pretrained="none", encoder="conv4")
    assert not list(tmp_path.iterdir())


def test_images_that_cannot_be_decoded_get_no_pseudo_label(photos, start, tmp_path):
    damaged = tmp_path / "photos"
    shutil.copytree(photos, damaged)
    for name in ("45.png", "00.png"):
        content = bytearray((damaged / name).read_bytes())
        content[len(content) // 2 : len(content) // 2 + 100] = bytes(100)
        (damaged / name).write_bytes(content)
    labels = str(photos.parent / "labels.csv")
    settings = {"from_run": str(start.folder.path), "by": "propagation", "device": "cpu"}
    with pytest.raises(lw.LikewiseError, match="--max-bad"):
        pseudo_label(damaged, labels, **settings)
    found = pseudo_label(damaged, labels, max_bad=0.1, **settings)
    rows = rows_of(found)
    assert set(rows) == {f"{number:02}.png" for number in range(60)}
    assert "45.png" in found.unread
    assert rows["45.png"]["label"] == "" and rows["45.png"]["probability"] is None
    assert rows["46.png"]["label"] and rows["46.png"]["probability"] is not None
    assert rows["00.png"]["label"] == COLOURS[class_of(0)]
