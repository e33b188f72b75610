"""Scenes from the command line: trained, scored, shown, and scored again on others."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import likewise as lw
from cli.conftest import SHORT
from likewise.cli import main
from likewise.data.synthetic.scenes import paste_scenes


def png(values):
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": "x.png"}


def write_scenes(path, count, seed):
    """Oblong scenes of two kinds of bright rectangles; 7 is ignored."""
    items = np.zeros((2, 28, 28), np.uint8)
    items[0, 4:24, 10:18], items[1, 10:18, 4:24] = 140, 220
    scenes = paste_scenes(items, np.array([0, 1]), count, seed)
    masks = np.where(scenes.objects == 3, 7, scenes.masks).astype(np.uint8)[:, :48]
    columns = {
        "image": [png(each) for each in scenes.images[:, :48]],
        "mask": [png(each) for each in masks],
    }
    pq.write_table(pa.table(columns), path)
    return str(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    train, test = (
        write_scenes(folder / "a-train.parquet", 32, 0),
        write_scenes(folder / "a-test.parquet", 12, 1),
    )
    words = [
        "train",
        train,
        "--test-data",
        test,
        "--method",
        "setsim",
        "--ignore-index",
        "7",
        *SHORT,
    ]
    main([*words, "--image-size", "64", "--out", str(folder / "run")])
    return lw.load(folder / "run")


def test_every_run_with_masks_ends_with_segmentation_beside_the_untrained(run):
    scores = json.loads(run.folder.scores.read_text())
    assert {"linear_miou", "linear_pixel_accuracy"} <= set(run.scores)
    assert {score["name"] for score in scores["untrained"]} == {
        score["name"] for score in scores["trained"]
    }
    assert {(gain["name"], gain["over"]) for gain in scores["differences"]} >= {
        ("linear_miou", "untrained")
    }
    assert list(scores["iou"]["trained"]) == ["class 0", "class 1", "class 2"]
    protocol = scores["trained"][0]["protocol"]
    assert protocol["ignore_index"] == 7 and protocol["map"] == "3 of 4, 8 x 8"
    log = run.folder.log.read_text()
    assert "7 is no class" in log and "linear_miou" in log
    assert "32 of 32" in log and "0 to 2" in log


def test_the_page_shows_where(run):
    page = run.folder.report.read_text()
    for section in ("segments", "matches", "locations"):
        assert f'<section id="{section}"' in page
    assert "segmentation, mean IoU" in page
    with np.load(run.folder.locations) as locations:
        assert locations["images"].shape[1] == locations["masks"].shape[1]
        assert locations["aspect"][0] == pytest.approx(64 / 48)
    with np.load(run.folder.matches) as matches:
        assert matches["pairs"].dtype == bool and matches["pairs"].any()


def test_scored_again_on_others(run, tmp_path):
    other = write_scenes(tmp_path / "other.parquet", 24, 5)
    main(["evaluate", str(run.folder.path), "--data", other, "--ignore-index", "7"])
    scores = json.loads((run.folder.path / "evaluations" / "other" / "scores.json").read_text())
    assert (
        scores["trained"][0]["name"] == "linear_miou"
        and scores["trained"][0]["protocol"]["ignore_index"] == 7
    )
