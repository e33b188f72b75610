"""Scores of sight and sound: the windows that are compared, and that a sound in step is told from a shifted one."""

import dataclasses

import numpy as np
import pytest
import torch

from likewise.data.columns.boxes import SOUND_BOX, Boxes
from likewise.data.splits import Split
from likewise.data.video.clip_columns import SOUND
from likewise.data.video.clip_frames import open_frames, open_whole_clips
from likewise.data.video.clips import clip_manifest
from likewise.encoders.clip_networks import clip_encoder
from likewise.evaluation.metrics.audio_visual import attention_in_boxes
from likewise.evaluation.sound_scores import (
    SHIFTS,
    embed_audio_visual,
    measure_audio_visual,
    sound_ranks,
)
from likewise.heads.sound_space import SoundSpace, SoundSpaceSettings

COUNT, KEPT, FRAMES, SIDE, PER_FRAME = 5, 24, 6, 16, 640


def split(boxes=None, silent=()):
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (COUNT, KEPT, 1, SIDE, SIDE), dtype=np.uint8)
    sound = random.integers(-9000, 9000, (COUNT, KEPT * PER_FRAME), dtype=np.int16)
    sound[list(silent)] = 0
    manifest = clip_manifest("made", frames, 25, sound=sound)
    if boxes is not None:
        manifest = dataclasses.replace(
            manifest, columns={**manifest.columns, SOUND_BOX: Boxes(boxes)}
        )
    return Split(manifest, open_frames(manifest, SIDE, 1, FRAMES), open_whole_clips(manifest, 1))


def networks():
    torch.manual_seed(0)
    encoder = clip_encoder("r2plus1d-small", (0.5,), (0.3,)).eval()
    return encoder, SoundSpace(
        SoundSpaceSettings(encoder.width, 1, bands=8, dim=8, local_dim=4)
    ).eval()


@torch.no_grad()
def test_the_middle_window_meets_its_own_sound_and_sound_from_earlier_and_later():
    test, (encoder, space) = split(), networks()
    found = embed_audio_visual(encoder, space, test, SIDE, torch.device("cpu"))
    start = (KEPT - FRAMES) // 2
    pixels = test.images.read(torch.arange(COUNT)).images.float() / 255
    sound = test.manifest.columns[SOUND].read(torch.arange(COUNT)).float() / 32767

    def heard(shift):
        first = (start + shift) * PER_FRAME
        return sound[:, first : first + FRAMES * PER_FRAME]

    own = space(encoder.feature_map(pixels), encoder.normalise(pixels), heard(0))
    torch.testing.assert_close(found.sounds, own.sound)
    torch.testing.assert_close(found.attention, own.attention)
    torch.testing.assert_close(found.clips, space.of_clips(encoder(pixels)))
    torch.testing.assert_close(
        found.synchronous,
        (own.video_steps[:, :, None] * own.audio_steps).sum(dim=3).mean(dim=(1, 2)),
    )
    assert found.valid.all()
    for place, shift in enumerate(SHIFTS):
        moments = space.audio_steps(heard(shift), FRAMES)
        expected = (own.video_steps[:, :, None] * moments).sum(dim=3).mean(dim=(1, 2))
        torch.testing.assert_close(found.shifted[:, place], expected, rtol=1e-4, atol=1e-5)


def test_shifts_beyond_what_was_shown_do_not_count():
    test = split()
    test.manifest.pixels.clips.valid_frames[:] = torch.tensor([24, 24, 12, 9, 4])
    found = embed_audio_visual(*networks(), test, SIDE, torch.device("cpu"))
    for row, shown in enumerate([24, 24, 12, 9, 4]):
        start = max(shown - FRAMES, 0) // 2
        inside = [0 <= start + k and start + k + FRAMES <= shown for k in SHIFTS]
        assert found.valid[row].tolist() == inside


def test_scores_by_name_with_and_without_a_box_and_without_room_to_shift():
    boxes = np.tile(np.array([[0.0, 0.0, 0.5, 1.0]], np.float32), (COUNT, 1))
    boxes[1] = np.nan
    test, device = split(boxes), torch.device("cpu")
    embeddings = embed_audio_visual(*networks(), test, SIDE, device)
    scores = {
        measurement.score.name: measurement.score
        for measurement in measure_audio_visual(embeddings, sound_ranks(embeddings))
    }
    assert list(scores) == ["sound_to_clip_r1", "clip_to_sound_r1", "sync_auc", "attention_in_box"]
    known = torch.tensor([0, 2, 3, 4])
    inside = attention_in_boxes(embeddings.attention[known], torch.from_numpy(boxes[known.numpy()]))
    assert scores["attention_in_box"].value == pytest.approx(inside.mean().item())
    assert (scores["attention_in_box"].count, scores["attention_in_box"].protocol["chance"]) == (
        4,
        0.5,
    )
    assert scores["sound_to_clip_r1"].protocol["chance"] == pytest.approx(1 / COUNT)
    test.manifest.pixels.clips.valid_frames[:] = FRAMES
    short = embed_audio_visual(*networks(), test, SIDE, device)
    assert "sync_auc" not in {
        measurement.score.name for measurement in measure_audio_visual(short, sound_ranks(short))
    }


def test_clips_without_sound_are_left_out():
    found = embed_audio_visual(*networks(), split(silent=(1, 3)), SIDE, torch.device("cpu"))
    assert len(found.clips) == COUNT - 2


class OracleSpace(SoundSpace):
    """Hears and sees how loud and how bright each frame is: what a perfect run would have learned."""

    def audio_steps(self, sound, frames):
        loud = sound.unflatten(1, (frames, -1)).abs().mean(dim=2)
        return torch.stack([loud.cos(), loud.sin()], dim=2)[:, :, None]

    def forward(self, maps, clips, sound):
        frames = clips.shape[2]
        bright = clips.mean(dim=(1, 3, 4))
        made = super().forward(maps, clips, sound)
        video_steps = torch.stack([bright.cos(), bright.sin()], dim=2)
        return made._replace(video_steps=video_steps, audio_steps=self.audio_steps(sound, frames))


def test_a_perfect_run_separates_every_shift():
    """Brightness of a frame is loudness of its sound: the area is then 1."""
    random = np.random.default_rng(3)
    # [N, T], all different
    level = random.permuted(np.tile(np.arange(KEPT), (COUNT, 1)), axis=1) / KEPT
    frames = np.broadcast_to(
        (255 * level)[:, :, None, None, None], (COUNT, KEPT, 1, SIDE, SIDE)
    ).round()
    loud = np.repeat(np.rint(32767 * level), PER_FRAME, axis=1).astype(np.int16)
    manifest = clip_manifest("made", frames.astype(np.uint8), 25, sound=loud)
    test = Split(manifest, open_frames(manifest, SIDE, 1, FRAMES), open_whole_clips(manifest, 1))
    encoder = clip_encoder("r2plus1d-small", (0.0,), (1.0,)).eval()
    space = OracleSpace(SoundSpaceSettings(encoder.width, 1, bands=8, dim=8, local_dim=2)).eval()
    embeddings = embed_audio_visual(encoder, space, test, SIDE, torch.device("cpu"))
    measurements = measure_audio_visual(embeddings, sound_ranks(embeddings))
    scores = {measurement.score.name: measurement.score for measurement in measurements}
    assert scores["sync_auc"].value == 1.0
