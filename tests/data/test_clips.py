from __future__ import annotations

import numpy as np
import pytest
import torch

from data.videos import click, levels, number_of, write_video
from likewise.data.clips import open_clips, sound_of
from likewise.data.sources import open_manifest
from likewise.data.video_decoding import ClipShape
from likewise.errors import LikewiseError

SHAPE = ClipShape(size=24, frames=6, frame_rate=8)


@pytest.fixture
def folder(tmp_path):
    """Three videos of two classes: with sound, silent, and one that breaks."""
    for name in ("one", "two"):
        (tmp_path / "videos" / name).mkdir(parents=True)
    write_video(tmp_path / "videos/one/a.mp4", levels(8), sound=click(1.0, 0.5), rate=8)
    write_video(tmp_path / "videos/one/b.mp4", levels(8)[2:], rate=8)
    write_video(tmp_path / "videos/two/c.avi", levels(8)[4:], rate=8)
    return tmp_path / "videos"


def test_a_folder_of_videos_is_a_source_like_any_other(folder):
    manifest = open_manifest(folder)
    assert manifest.class_names == ("one", "two") and manifest.labels.tolist() == [0, 0, 1]
    assert manifest.summary()["modes"] == {"video": 3}
    assert manifest.pixels.read(0).pixels.shape == (48, 48, 3)  # its still picture
    assert any("middle frame" in warning for warning in manifest.warnings())


def test_clips_are_read_by_row(folder, tmp_path):
    clips = open_clips(open_manifest(folder), SHAPE, tmp_path / "cache")
    rows = clips.frames.rows(torch.tensor([2, 0]))
    assert rows.pixels.images.shape == (2, 6, 3, 24, 24)
    assert [number_of(frame.numpy()) for frame in rows.pixels.images[0]] == [4, 5, 6, 7, 7, 7]
    assert [number_of(frame.numpy()) for frame in rows.pixels.images[1]] == [0, 1, 2, 3, 4, 5]
    assert clips.shown.tolist() == [6, 6, 4]
    assert clips.heard.tolist() == [True, False, False]
    assert clips.notes == ("2 of 3 videos have no sound",)


def test_sound_comes_back_as_it_was(folder, tmp_path):
    clips = open_clips(open_manifest(folder), SHAPE, tmp_path / "cache")
    sound = sound_of(clips, torch.tensor([0, 1]))
    assert sound.shape == (2, SHAPE.samples) and sound.dtype == torch.float32
    assert 0.5 < float(sound[0].abs().max()) <= 1 and not sound[1].any()


def test_the_second_time_nothing_is_decoded(folder, tmp_path, monkeypatch):
    manifest = open_manifest(folder)
    first = open_clips(manifest, SHAPE, tmp_path / "cache")
    monkeypatch.setattr("likewise.data.clips.decode_clip", None)
    again = open_clips(manifest, SHAPE, tmp_path / "cache")
    assert torch.equal(first.frames.pixels.images, again.frames.pixels.images)


def test_a_file_that_changed_is_decoded_again(folder, tmp_path):
    open_clips(open_manifest(folder), SHAPE, tmp_path / "cache")
    write_video(folder / "one/b.mp4", levels(7), rate=8)
    clips = open_clips(open_manifest(folder), SHAPE, tmp_path / "cache")
    assert number_of(clips.frames.pixels.images[1, 0].numpy()) == 0


def test_a_video_that_cannot_be_decoded_is_stood_in_for(folder, tmp_path):
    manifest = open_manifest(folder)
    (folder / "one/a.mp4").write_bytes(bytes(5000))
    clips = open_clips(manifest, SHAPE, tmp_path / "cache")
    rows = clips.frames.rows(torch.tensor([0]), alike=manifest.labels)
    assert rows.positions.tolist() == [1]
    assert list(clips.frames.unreadable) == ["one/a.mp4"]
    assert "1 videos cannot be decoded" in clips.notes[0]


def test_the_set_used_longest_ago_makes_room(folder, tmp_path, monkeypatch):
    manifest, cache = open_manifest(folder), tmp_path / "cache"
    one = 3 * (6 * 3 * 24 * 24 + 2 * SHAPE.samples)
    monkeypatch.setenv("LIKEWISE_CACHE_BYTES", str(int(2.6 * one)))
    for start in (0.0, 0.1, 0.0, 0.2):  # the third call uses the first again
        open_clips(manifest, ClipShape(24, 6, 8, start), cache)
    kept = {np.load(found.parent / "frames.npy").tobytes() for found in cache.glob("*/found.json")}
    assert len(kept) == 2
    monkeypatch.setattr("likewise.data.clips.decode_clip", None)
    open_clips(manifest, ClipShape(24, 6, 8, 0.0), cache)  # still there


def test_a_set_larger_than_the_cache_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LIKEWISE_CACHE_BYTES", "1000")
    with pytest.raises(LikewiseError, match="LIKEWISE_CACHE_BYTES="):
        open_clips(open_manifest(folder), SHAPE, tmp_path / "cache")
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir())
