"""Videos from a folder to an encoder of clips, its scores, its page, its vectors and its export."""

import itertools
import json

import numpy as np
import pytest
import torch

import likewise as lw
from data.videos import write_video
from likewise import cli


def moving(direction, seed, count=12, side=48):
    """A bright square that moves over a dark ground, to the right or down."""
    random = np.random.default_rng(seed)
    frames = np.full((count, side, side, 3), 30, np.uint8)
    top, left = random.integers(2, 12, 2)
    for time in range(count):
        down, across = (0, 2 * time) if direction == "right" else (2 * time, 0)
        frames[time, top + down : top + down + 10, left + across : left + across + 10] = 220
    return frames


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips") / "videos"
    for direction in ("right", "down"):
        (folder / direction).mkdir(parents=True)
        for number in range(12):
            write_video(folder / direction / f"{number}.mp4", moving(direction, number), rate=8)
    return folder


@pytest.fixture(scope="module")
def run(videos, tmp_path_factory):
    out = tmp_path_factory.mktemp("clips") / "run"
    return lw.train(
        videos,
        "all",
        "supcon",
        out,
        encoder="r2plus1d-small",
        image_size=24,
        frames=6,
        steps=4,
        batch_size=8,
    )


def test_what_was_kept_and_seen_is_on_record(run):
    encoder, data = (
        json.loads((run.folder.path / f"{name}.json").read_text()) for name in ("encoder", "data")
    )
    assert (encoder["name"], encoder["frames"], encoder["frame_rate"]) == ("r2plus1d-small", 6, 8.0)
    assert data["clips"] == {"stored": 11, "seen": 6, "frame_rate": 8.0}
    assert {"knn20_top1", "linear_top1"} <= run.scores.keys()
    assert lw.load(run.folder.path).encoder(torch.rand(2, 6, 3, 24, 24)).shape == (2, 128)


def test_the_page_shows_film_strips(run):
    page = run.folder.report.read_text()
    assert "first, middle and last frame" in page
    assert 'width="168" height="56"' in page


def test_film_strips_do_not_overlap(run, chromium):
    page = chromium.new_page(viewport={"width": 1100, "height": 900})
    page.goto(f"file://{run.folder.report.resolve()}")
    boxes = [
        each.bounding_box() for each in page.query_selector_all(".strips > li:first-child img")
    ]
    page.close()
    assert len(boxes) > 2
    for one, other in itertools.combinations(boxes, 2):
        beside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
        assert (
            beside
            or one["y"] + one["height"] <= other["y"]
            or other["y"] + other["height"] <= one["y"]
        )


def test_a_run_on_clips_embeds_searches_and_scores_again(run, videos):
    vectors = run.embed(videos)
    assert vectors.vectors.shape == (24, 128)
    assert run.search(videos / "down" / "3.mp4", vectors, count=1)[0].id == "down/3.mp4"
    before = run.scores
    assert run.evaluate() == pytest.approx(before)


def test_a_run_goes_on_where_another_left_off(run, videos, tmp_path):
    later = lw.train(
        videos,
        "all",
        "cross-entropy",
        tmp_path / "later",
        from_run=str(run.folder.path),
        steps=1,
        batch_size=8,
    )
    kept = json.loads((later.folder.path / "encoder.json").read_text())
    assert (kept["frames"], kept["image_size"]) == (6, 24)


def test_the_graph_of_an_encoder_of_clips_is_checked_too(run, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    assert run.export("onnx", tmp_path / "clips.onnx").stat().st_size > 10_000
    with pytest.raises(lw.LikewiseError, match="--to onnx"):
        run.export("timm", tmp_path / "clips.safetensors")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--method", "simclr", "--frames", "8"], "--frames 8"),
        (["--encoder", "r2plus1d-small", "--region", "0", "0", "0", "1"], "--region"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(
    words, named, videos, tmp_path, capsys
):
    with pytest.raises(SystemExit) as refused:
        cli.main(
            [
                "train",
                str(videos),
                *words,
                "--steps",
                "2",
                "--batch-size",
                "8",
                "--out",
                str(tmp_path / "run"),
            ]
        )
    assert refused.value.code == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
