from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from data.videos import click, levels, number_of, write_video
from likewise.data.columns.column_names import ColumnNames
from likewise.data.sources.concat import concat
from likewise.data.sources.open import open_manifest
from likewise.data.video.clip_cache import decode_videos
from likewise.data.video.clip_columns import FLOW, SOUND, START, IdentityTransform
from likewise.data.video.clip_frames import open_frames, open_whole_clips
from likewise.data.video.clips import as_clips, clip_manifest
from likewise.data.video.optical_flow import unpacked
from likewise.data.video.sound_windows import samples_from
from likewise.data.video.video_decoding import ClipShape
from likewise.errors import LikewiseError

SHAPE = ClipShape(size=24, frames=6, frame_rate=8)


@pytest.fixture
def folder(tmp_path):
    """Three videos of two classes: with sound, silent, and one that ends sooner."""
    for name in ("one", "two"):
        (tmp_path / "videos" / name).mkdir(parents=True)
    write_video(tmp_path / "videos/one/a.mp4", levels(8), sound=click(1.0, 0.5), rate=8)
    write_video(tmp_path / "videos/one/b.mp4", levels(8)[2:], rate=8)
    write_video(tmp_path / "videos/two/c.avi", levels(8)[4:], rate=8)
    return tmp_path / "videos"


@pytest.fixture
def clips(folder, tmp_path):
    return as_clips(open_manifest(folder), SHAPE, cache=tmp_path / "cache")


def numbers(frames):
    return [number_of(frame.numpy()) for frame in frames]


def test_a_folder_of_videos_is_a_source_like_any_other(folder):
    manifest = open_manifest(folder)
    assert manifest.class_names == ("one", "two") and manifest.labels.tolist() == [0, 0, 1]
    assert manifest.summary()["modes"] == {"video": 3}
    assert manifest.pixels.read(0).pixels.shape == (48, 48, 3)  # its still picture
    assert any(warning.startswith("videos") for warning in manifest.warnings())


def test_a_method_is_given_all_that_is_kept(clips):
    pixels = open_whole_clips(clips, 3).read(torch.tensor([2, 0]))
    assert pixels.images.shape == (2, 6, 3, 24, 24)
    assert numbers(pixels.images[0]) == [4, 5, 6, 7, 7, 7]
    assert numbers(pixels.images[1]) == [0, 1, 2, 3, 4, 5]
    assert pixels.valid_frames is not None and pixels.valid_frames.tolist() == [4, 6]
    assert not any(warning.startswith("videos") for warning in clips.warnings())


def test_an_encoder_is_shown_the_middle_of_what_was_shown(clips):
    pixels = open_frames(clips, 24, 3, frames=2).read(torch.tensor([2, 0]))
    assert numbers(pixels.images[0]) == [5, 6]  # of 4, 5, 6, 7
    assert numbers(pixels.images[1]) == [2, 3]  # of 0 to 5
    assert pixels.valid_frames is not None and pixels.valid_frames.tolist() == [2, 2]
    assert numbers(open_frames(clips, 24, 3).read(torch.tensor([2, 0])).images) == [6, 3]  # stills


def test_parts_of_a_set_keep_their_clips(clips):
    assert numbers(open_whole_clips(clips.take([2]), 3).read(torch.tensor([0])).images[0, :1]) == [
        4
    ]
    assert numbers(
        open_frames(clips, 24, 3, 2).take(torch.tensor([2])).read(torch.tensor([0])).images[0]
    ) == [5, 6]


def test_more_frames_than_are_kept_are_refused(clips):
    with pytest.raises(LikewiseError, match="--frames"):
        open_frames(clips, 24, 3, frames=7)


def test_gray_encoders_see_brightness_alone(clips):
    assert torch.equal(
        open_frames(clips, 24, 1, 2).read(torch.tensor([0])).images[:, :, 0],
        open_frames(clips, 24, 3, 2).read(torch.tensor([0])).images[:, :, 1],
    )


def test_sound_lies_beside_the_frames(clips):
    column = clips.columns[SOUND]
    assert column.present().tolist() == [True, False, False]
    kept = IdentityTransform().of(column).read(torch.tensor([1, 0]))
    assert kept.shape == (2, SHAPE.samples) and kept.dtype == torch.int16
    sound = samples_from(kept, torch.tensor([-100, 8000 - 100]), 4100)
    assert not sound[0].any()
    assert 0.5 < float(sound[1, 100:500].abs().max()) <= 1  # half a second in
    assert not sound[1, 4000:].any()  # past the end
    assert any(note.startswith("2 of 3 ") and "sound" in note for note in clips.notes)
    assert any(note.startswith("1 of 3 ") and " 6 " in note for note in clips.notes)


def test_silent_videos_have_no_column_of_sound(folder, tmp_path):
    silent = open_manifest(folder).take([1, 2])
    assert SOUND not in as_clips(silent, SHAPE, cache=tmp_path / "cache").columns


def test_flow_is_found_once_and_kept(folder, tmp_path, monkeypatch):
    frames = np.zeros((6, 48, 48, 3), np.uint8)
    grain = np.random.default_rng(0).integers(0, 255, (12, 12)).repeat(6, 0).repeat(6, 1)[..., None]
    for time in range(6):
        frames[time] = np.roll(grain, 2 * time, axis=1)[:48, :48]
    write_video(folder / "one/a.mp4", frames, rate=8)
    manifest, shape = open_manifest(folder).take([0]), ClipShape(size=48, frames=6, frame_rate=8)
    flow = unpacked(
        as_clips(manifest, shape, cache=tmp_path / "cache").columns[FLOW].read(torch.tensor([0]))
    )
    assert flow.shape == (1, 5, 2, 48, 48)
    inside = flow[0, :, :, 16:32, 16:32]
    assert inside[:, 0].median() == pytest.approx(2, abs=0.3) and inside[
        :, 1
    ].median() == pytest.approx(0, abs=0.3)
    monkeypatch.setattr("likewise.data.video.clip_cache.optical_flow", None)
    again = (
        as_clips(manifest, shape, cache=tmp_path / "cache").columns[FLOW].read(torch.tensor([0]))
    )
    assert torch.equal(unpacked(again), flow)


def test_the_second_time_nothing_is_decoded(folder, tmp_path, monkeypatch):
    manifest = open_manifest(folder)
    first = decode_videos(manifest, SHAPE, tmp_path / "cache").clips
    monkeypatch.setattr("likewise.data.video.clip_cache.decode_clip", None)
    again = decode_videos(manifest, SHAPE, tmp_path / "cache").clips
    assert torch.equal(first.frames, again.frames)


def test_a_file_that_changed_is_decoded_again(folder, tmp_path):
    decode_videos(open_manifest(folder), SHAPE, tmp_path / "cache")
    write_video(folder / "one/b.mp4", levels(7), rate=8)
    clips = decode_videos(open_manifest(folder), SHAPE, tmp_path / "cache").clips
    assert number_of(clips.frames[1, 0].numpy()) == 0


def test_a_video_that_cannot_be_decoded_is_left_out_and_named(folder, tmp_path):
    manifest = open_manifest(folder)
    (folder / "one/a.mp4").write_bytes(bytes(5000))
    clips = as_clips(manifest, SHAPE, cache=tmp_path / "cache")
    assert list(clips.ids) == ["one/b.mp4", "two/c.avi"]
    assert [skipped.id for skipped in clips.skipped] == ["one/a.mp4"]
    assert numbers(open_whole_clips(clips, 3).read(torch.tensor([0])).images[0, :1]) == [2]


def test_stills_among_videos_are_left_out_and_a_set_of_stills_is_refused(folder, tmp_path):
    Image.new("RGB", (48, 48)).save(tmp_path / "still.png")
    stills = open_manifest(tmp_path / "still.png")
    mixed = concat([open_manifest(folder), stills], "mixed")
    clips = as_clips(mixed, SHAPE, cache=tmp_path / "cache")
    assert len(clips) == 3 and clips.skipped[0].id == str(tmp_path / "still.png")
    with pytest.raises(LikewiseError, match=r"still\.png.*\b6\b"):
        as_clips(stills, SHAPE)
    assert as_clips(stills, SHAPE, stills_will_do=True) is stills


def test_the_set_used_longest_ago_makes_room(folder, tmp_path, monkeypatch):
    manifest, cache = open_manifest(folder), tmp_path / "cache"
    one = 3 * (6 * 3 * 24 * 24 + 2 * SHAPE.samples)
    monkeypatch.setenv("LIKEWISE_CACHE_BYTES", str(int(2.6 * one)))
    for start in (0.0, 0.1, 0.0, 0.2):  # the third call uses the first again
        decode_videos(manifest, ClipShape(24, 6, 8, start), cache)
    kept = {np.load(found.parent / "frames.npy").tobytes() for found in cache.glob("*/found.json")}
    assert len(kept) == 2
    monkeypatch.setattr("likewise.data.video.clip_cache.decode_clip", None)
    decode_videos(manifest, ClipShape(24, 6, 8, 0.0), cache)  # still there


def test_a_set_larger_than_the_cache_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LIKEWISE_CACHE_BYTES", "1000")
    with pytest.raises(LikewiseError, match="LIKEWISE_CACHE_BYTES="):
        decode_videos(open_manifest(folder), SHAPE, tmp_path / "cache")
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir())


def test_flow_that_does_not_fit_beside_its_frames_is_refused(folder, tmp_path, monkeypatch):
    clips = as_clips(open_manifest(folder), SHAPE, cache=tmp_path / "cache")
    monkeypatch.setenv(
        "LIKEWISE_CACHE_BYTES", str(3 * (6 * 3 * 24 * 24 + 2 * SHAPE.samples) + 1000)
    )
    with pytest.raises(LikewiseError, match=r"videos.* 3 clips"):
        clips.columns[FLOW].read(torch.tensor([0]))
    assert list((tmp_path / "cache").glob("*/found.json"))  # what was decoded is still there


def test_a_region_is_cut_out_of_every_frame(folder, tmp_path):
    halves = levels(8)
    halves[:, :, 24:] = 200
    write_video(folder / "one/a.mp4", halves, rate=8)
    shape = ClipShape(24, 6, 8, region=(0.5, 0.25, 1.0, 0.75))
    pixels = open_whole_clips(
        as_clips(open_manifest(folder), shape, cache=tmp_path / "cache"), 3
    ).read(torch.tensor([0]))
    assert pixels.images.float().mean() == pytest.approx(200, abs=4)
    assert pixels.aspect.tolist() == [1.0]
    with pytest.raises(LikewiseError, match=r"region.*--region"):
        ClipShape(region=(0.5, 0, 0.5, 1))


def parquet_of(path, folder, **columns):
    videos = [{"bytes": (folder / "one/a.mp4").read_bytes(), "path": "a.mp4"}] * len(
        next(iter(columns.values()))
    )
    pq.write_table(pa.table({"video": videos, **columns}), path)
    return path


def test_examples_begin_where_their_row_says(folder, tmp_path):
    path = parquet_of(tmp_path / "parts.parquet", folder, start=[0.0, 0.25, 0.5])
    clips = as_clips(open_manifest(path), ClipShape(24, 2, 8), cache=tmp_path / "cache")
    shown = open_whole_clips(clips, 3).read(torch.arange(3)).images
    assert [numbers(clip) for clip in shown] == [[0, 1], [2, 3], [4, 5]]
    assert START not in clips.columns
    wrong = parquet_of(tmp_path / "wrong.parquet", folder, start=[0.0, -1.0])
    with pytest.raises(LikewiseError, match=r"row 1 has -1\.0"):
        open_manifest(wrong)


def test_the_column_of_labels_can_be_named(folder, tmp_path):
    path = parquet_of(
        tmp_path / "words.parquet",
        folder,
        digit=["one", "two", "one"],
        colour=["red", "red", "blue"],
    )
    assert open_manifest(path).labels.tolist() == [-1, -1, -1]
    named = open_manifest(path, columns=ColumnNames("digit"))
    assert named.class_names == ("one", "two") and named.labels.tolist() == [0, 1, 0]
    with pytest.raises(LikewiseError, match=r"'digits'.*'digit'"):
        open_manifest(path, columns=ColumnNames("digits"))
    with pytest.raises(LikewiseError, match="--label-column digit"):
        open_manifest(folder, columns=ColumnNames("digit"))


def test_arrays_are_clips_too():
    frames = np.random.default_rng(0).integers(0, 255, (4, 3, 1, 16, 16), dtype=np.uint8)
    sound = np.zeros((4, 480), np.int16)
    sound[1] = 100
    clips = clip_manifest(
        "made", frames, 8.0, labels=np.array([0, 1, 0, 1]), class_names=("a", "b"), sound=sound
    )
    assert clips.columns[SOUND].present().tolist() == [False, True, False, False]
    assert torch.equal(
        open_whole_clips(clips.take([3]), 1).read(torch.tensor([0])).images[0],
        torch.from_numpy(frames[3]),
    )
    assert clips.columns[FLOW].read(torch.tensor([0, 2])).shape == (2, 2, 2, 16, 16)
    assert as_clips(clips, SHAPE) is clips
