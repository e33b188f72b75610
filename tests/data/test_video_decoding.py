from __future__ import annotations

import numpy as np
import pytest

from data.videos import RATE, click, levels, number_of, write_video
from likewise.data.video.video_decoding import (
    ClipShape,
    UnreadableVideo,
    decode_clip,
    frame_size,
    is_video,
    middle_frame,
)
from likewise.errors import LikewiseError


def loudest(sound: np.ndarray) -> float:
    """The instant, in seconds, around which a sound is loudest."""
    energy = np.convolve(sound**2, np.ones(160), "same")
    return float(energy.argmax()) / RATE


def test_frames_are_those_that_were_on_at_each_instant(tmp_path):
    times = np.array([0, 0.1, 0.5, 0.6, 1.4])  # a rate that changes
    video = write_video(tmp_path / "a.mp4", levels(5), times)
    clip = decode_clip(video, "a", ClipShape(size=24, frames=8, frame_rate=5))  # 0, .2, .4, ... 1.4
    assert [number_of(frame) for frame in clip.frames] == [0, 1, 1, 3, 3, 3, 3, 4]
    assert clip.frames.shape == (8, 3, 24, 24)


def test_a_span_may_begin_inside_the_video(tmp_path):
    video = write_video(tmp_path / "a.mp4", levels(16), rate=8)
    clip = decode_clip(video, "a", ClipShape(size=24, frames=3, frame_rate=8, start=1.05))
    assert [number_of(frame) for frame in clip.frames] == [8, 9, 10]


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_sight_and_sound_stay_together(tmp_path, start):
    frames = levels(16)
    frames[:] = 20
    frames[8] = 220  # a flash at 1 s, and a click with it
    video = write_video(tmp_path / "a.mp4", frames, sound=click(2.0, 1.0), rate=8)
    clip = decode_clip(video, "a", ClipShape(size=24, frames=10, frame_rate=8, start=start))
    flash = int(clip.frames.mean(axis=(1, 2, 3)).argmax()) / 8
    assert flash == pytest.approx(1.0 - start)
    assert loudest(clip.sound) == pytest.approx(1.01 - start, abs=0.03)
    assert clip.has_sound


def test_a_sound_that_starts_late_stays_late(tmp_path):
    video = write_video(
        tmp_path / "a.mkv", levels(16), sound=click(1.0, 0.2), sound_start=0.7, rate=8
    )
    clip = decode_clip(video, "a", ClipShape(size=24, frames=16, frame_rate=8))
    assert loudest(clip.sound) == pytest.approx(0.91, abs=0.04)
    assert len(clip.sound) == 2 * RATE


def test_a_short_video_holds_its_last_frame_and_says_so(tmp_path):
    video = write_video(tmp_path / "a.mp4", levels(4), rate=8)
    clip = decode_clip(video, "a", ClipShape(size=24, frames=8, frame_rate=8))
    assert [number_of(frame) for frame in clip.frames] == [0, 1, 2, 3, 3, 3, 3, 3]
    assert clip.valid_frames == 4
    assert not clip.has_sound and not clip.sound.any()


def test_one_frame_is_a_video(tmp_path):
    clip = decode_clip(
        write_video(tmp_path / "a.mp4", levels(1)), "a", ClipShape(size=24, frames=4)
    )
    assert [number_of(frame) for frame in clip.frames] == [0, 0, 0, 0]


def test_a_broken_tail_is_left_out_and_told(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (24, 64, 64, 3), np.uint8)
    whole = write_video(tmp_path / "a.mkv", noise, rate=8).read_bytes()
    clip = decode_clip(
        whole[: len(whole) * 2 // 3], "a", ClipShape(size=24, frames=24, frame_rate=8)
    )
    assert 4 < clip.valid_frames < 22
    same = decode_clip(whole, "a", ClipShape(size=24, frames=24, frame_rate=8))
    assert np.abs(clip.frames[3].astype(int) - same.frames[3]).max() <= 1


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\x1aE\xdf\xa3" + bytes(200)])
def test_what_is_no_video_is_named(content):
    with pytest.raises(UnreadableVideo, match=r"^b\.mp4: "):
        decode_clip(content, "b.mp4", ClipShape())


def test_sound_alone_is_no_video(tmp_path):
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        voice = container.add_stream("aac", rate=RATE, layout="mono")
        piece = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        piece.sample_rate = RATE
        container.mux(voice.encode(piece))
        container.mux(voice.encode())
    with pytest.raises(UnreadableVideo, match=r"^a\.mp4: "):
        decode_clip(tmp_path / "a.mp4", "a.mp4", ClipShape())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UnreadableVideo, match=r"^none\.mp4: "):
        decode_clip(tmp_path / "none.mp4", "none.mp4", ClipShape())


def test_the_still_picture_is_the_middle_frame(tmp_path):
    video = write_video(tmp_path / "a.mp4", levels(9), rate=8)
    assert number_of(middle_frame(video, "a")) in (4, 5)
    assert frame_size(video) == (48, 48)


def test_videos_are_told_from_photographs(tmp_path):
    assert is_video(tmp_path / "A.MP4") and not is_video(tmp_path / "a.gif")
    assert is_video(write_video(tmp_path / "a.mp4", levels(2)).read_bytes())
    assert is_video(write_video(tmp_path / "a.mkv", levels(2)).read_bytes())
    assert is_video(write_video(tmp_path / "a.avi", levels(2)).read_bytes())
    assert not is_video(b"\x00\x00\x00\x1cftypavif" + bytes(20))
    assert not is_video(b"\xff\xd8\xff\xe0")


def test_a_shape_of_nothing_is_refused():
    with pytest.raises(LikewiseError, match="frames=0"):
        ClipShape(frames=0)


def test_frames_whose_size_changes_on_the_way_are_brought_to_one(tmp_path):
    early, late = levels(8, 48), levels(16, 96)[8:]
    parts = [
        write_video(tmp_path / f"{first}.ts", frames, first + np.arange(8) / 8).read_bytes()
        for first, frames in enumerate((early, late))
    ]
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    clip = decode_clip(tmp_path / "both.ts", "both", ClipShape(size=24, frames=16, frame_rate=8))
    assert [number_of(frame) for frame in clip.frames] == list(range(16))
    assert clip.aspect == 1
