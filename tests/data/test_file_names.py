"""File names that are not UTF-8, from a folder to every file that names them, and back."""

from __future__ import annotations

import dataclasses
import json
import os

import numpy as np
import pandas as pd
import pytest

import likewise as lw
from data.pictures import save
from likewise.cli import main
from likewise.data.sources.open import open_manifest
from likewise.vectors import read_vectors

WRITTEN = "a/bad\\xff\\xfe.png"


@pytest.fixture
def folder(tmp_path):
    for number in range(12):
        save(tmp_path / "photos" / "ab"[number % 2] / f"{number}é.png", number)
    content = (tmp_path / "photos/a/0é.png").read_bytes()
    (tmp_path / "photos/a" / os.fsdecode(b"bad\xff\xfe.png")).write_bytes(content)
    (tmp_path / "photos/a" / os.fsdecode(b"broken\xff.png")).write_bytes(b"")
    return tmp_path / "photos"


def test_every_file_that_names_it_escapes_its_bytes(folder, tmp_path):
    run = lw.train(
        str(folder), method="simclr", encoder="conv4", batch_size=8, steps=1, num_evals=0, loggers=(),
        out=str(tmp_path / "run"), max_bad=0.1,
    )  # fmt: skip
    main(["embed", str(run.folder.path), str(folder), "--out", str(tmp_path / "v.parquet")])
    vectors = read_vectors(tmp_path / "v.parquet")
    assert WRITTEN in vectors.ids and "a/1é.png" not in vectors.ids and "b/1é.png" in vectors.ids
    assert list(vectors.skipped) == ["a/broken\\xff.png"]
    for ending in ("csv", "parquet"):
        out = tmp_path / f"p.{ending}"
        run.predict(str(folder), out)
        table = pd.read_csv(out) if ending == "csv" else pd.read_parquet(out)
        assert WRITTEN in table["path"].tolist()
    assert WRITTEN in run.predict(str(folder)).to_pandas()["path"].tolist()
    assert (
        "unusable file"
        in json.dumps(dataclasses.asdict(lw.doctor(str(folder))), ensure_ascii=False)
        .encode()
        .decode()
    )


def test_a_written_name_means_the_file_again(folder, tmp_path):
    (folder / "labels.csv").write_text(
        f"image_path,label\n{WRITTEN},x\nb/1é.png,y\n", encoding="utf-8"
    )
    beside = open_manifest(folder, labels=folder / "labels.csv")
    assert beside.class_names[int(beside.labels[list(beside.ids).index(WRITTEN)])] == "x"
    alone = open_manifest(folder / "labels.csv")
    pixels = open_manifest(folder).pixels.read(list(beside.ids).index(WRITTEN)).pixels
    assert alone.ids[0] == WRITTEN and np.array_equal(alone.pixels.read(0).pixels, pixels)
    table = open_manifest(pd.DataFrame({"image_path": [str(folder / WRITTEN)]}))
    assert np.array_equal(table.pixels.read(0).pixels, pixels)
