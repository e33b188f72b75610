"""Scores of a run that learned from sound: retrieval, synchronisation, and attention on the source of the sound."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from likewise.data.batch import Pixels
from likewise.data.columns.boxes import SOUND_BOX, Boxes
from likewise.data.splits import Split
from likewise.data.video.clip_columns import SOUND, Sound
from likewise.data.video.clip_frames import middle_start
from likewise.data.video.sound_windows import sound_of_frames
from likewise.encoders import Encoder
from likewise.evaluation.features import eval_mode
from likewise.evaluation.metrics.audio_visual import (
    BOOTSTRAP,
    attention_in_boxes,
    sync_auc,
)
from likewise.evaluation.metrics.retrieval import (
    Ranks,
    RetrievalDirections,
    Retrieved,
    measure_retrieval,
    ranks,
)
from likewise.evaluation.run_scores import Scored
from likewise.evaluation.statistics.confidence import IMAGE_MEAN, image_mean
from likewise.evaluation.statistics.scores import NO_PREDICTIONS, Measurement, Score
from likewise.heads.sound_space import SoundSpace, load_sound_space
from likewise.randomness import seed_networks
from likewise.run_folder import RunFolder
from likewise.views.centre_view import CentreView
from likewise.views.motion.temporal_windows import frames_from

SHIFTS = (*range(-8, -2), *range(3, 9))
"""frames by which sound is shifted; fewer than three are hardly audible (0.12 s at 25 frames a second)"""

MAX_CLIPS = 2000
"""synchronisation and attention are measured on at most so many test clips, spread evenly"""

CLIPS_AT_A_TIME = 32
SOUND_DIRECTIONS = RetrievalDirections(("sound_to_clip", "clip_to_sound"), ("clips", "sounds"))


class AudioVisualEmbeddings(NamedTuple):
    """Embeddings of test clips and of their sounds."""

    clips: Tensor
    """unit vectors, float32 [N, D]: of whole clips"""
    sounds: Tensor
    """unit vectors, float32 [N, D]: of whole sounds"""
    synchronous: Tensor
    """float32 [N]: mean cosine of a frame and the sound at its time"""
    shifted: Tensor
    """float32 [N, K]: the same with the sound shifted by each of `SHIFTS`"""
    valid: Tensor
    """bool [N, K]: which of those shifts stay within the clip"""
    attention: Tensor
    """float32 [N, L], over the L locations of the map"""
    boxes: Tensor
    """float32 [N, 4], box of the source of sound in the encoder's view; NaN where the data have none"""


def sound_scores(
    run: RunFolder, scored: Scored, test: Split | None, seed: int
) -> tuple[dict[str, list[Measurement]], Retrieved | None]:
    """Scores by encoder, and the test clips that the trained encoder retrieves by sound.

    The baselines use an untrained space of clips and sounds.

    Args:
        run: its folder holds the space of clips and sounds; without one there are no scores.
        scored: the encoders.
        test: the test clips.
        seed: of the untrained networks.
    """
    trained = load_sound_space(run.path)
    if trained is None or test is None or test.clips is None:
        return {}, None
    if int(test.has_sound().sum()) < 2:
        return {}, None
    seed_networks(seed, "untrained space")
    untrained = SoundSpace(trained.settings).eval()
    positions = test.has_sound().nonzero().flatten()
    scores, retrieved = {}, None
    for who, encoder in scored.encoders.items():
        space = trained if who == "trained" else untrained
        embeddings = embed_audio_visual(encoder, space, test, scored.image_size, scored.device)
        found = sound_ranks(embeddings)
        scores[who] = measure_audio_visual(embeddings, found)
        if who == "trained":
            clips, sounds = embeddings.clips, embeddings.sounds
            retrieved = Retrieved(
                positions, clips, sounds, found.owner, found.of_queries, texts=None
            )
    return scores, retrieved


def sound_ranks(embeddings: AudioVisualEmbeddings) -> Ranks:
    """Ranks of clips by sounds, and of sounds by clips."""
    return ranks(embeddings.clips, embeddings.sounds, torch.arange(len(embeddings.clips)))


def measure_audio_visual(embeddings: AudioVisualEmbeddings, found: Ranks) -> list[Measurement]:
    """Recall at 1, 5 and 10 in both directions, the area of synchronisation, and attention on the source of sound."""
    measurements = measure_retrieval(found, SOUND_DIRECTIONS)
    count = len(embeddings.clips)
    some = torch.linspace(0, count - 1, min(count, MAX_CLIPS)).round().long()
    valid = embeddings.valid[some]  # [n, K]
    if bool(valid.any()):
        area = sync_auc(embeddings.synchronous[some], embeddings.shifted[some], valid)
        protocol = {"shifted_by": "3 to 8 frames either way", "chance": 0.5, "interval": BOOTSTRAP}
        score = Score("sync_auc", *area, len(some), protocol)
        measurements.append(Measurement(score, NO_PREDICTIONS))
    known = some[~embeddings.boxes[some].isnan().any(dim=1)]
    if len(known):
        score = _attention_score(embeddings.attention[known], embeddings.boxes[known])
        measurements.append(Measurement(score, NO_PREDICTIONS))
    return measurements


def _attention_score(attention: Tensor, boxes: Tensor) -> Score:
    """The share of the attention inside the source's box; by chance, the box's share of the picture."""
    sides = boxes[:, 2:] - boxes[:, :2]  # [N, 2]
    chance = float(sides.prod(dim=1).mean())
    interval = image_mean(attention_in_boxes(attention, boxes))
    protocol = {"chance": round(chance, 4), "interval": IMAGE_MEAN}
    return Score("attention_in_box", *interval, len(boxes), protocol)


@torch.no_grad()
def embed_audio_visual(
    encoder: Encoder, space: SoundSpace, test: Split, size: int, device: torch.device
) -> AudioVisualEmbeddings:
    """Embeddings of the middle window of each test clip that has sound, with the sound of that time, and shifted."""
    rows = test.has_sound().nonzero().flatten()
    frames = test.images.frames
    sound = test.manifest.columns[SOUND]
    whole = test.clips
    assert isinstance(sound, Sound) and whole is not None
    boxes = test.manifest.columns.get(SOUND_BOX)
    if not isinstance(boxes, Boxes):
        boxes = Boxes.concat([len(test.manifest)])
    parts = []
    with eval_mode(encoder.to(device)), eval_mode(space.to(device)):
        for part in rows.split(CLIPS_AT_A_TIME):
            windows = _windows(whole.read(part), sound.read(part), frames)
            view = CentreView(size)
            parts.append(_embed_batch(encoder, space, windows, boxes.read(part), view))
    fields = zip(*parts, strict=True)
    return AudioVisualEmbeddings(*(torch.cat(field) for field in fields))


class _Windows(NamedTuple):
    """The middle window of each of B clips, and its sound at K + 1 times."""

    pixels: Pixels
    sounds: list[Tensor]
    """of that time first, then shifted by each of `SHIFTS`"""
    valid: Tensor
    """bool [B, 1 + K]: which of those stay within the clip"""


def _windows(pixels: Pixels, sound: Tensor, frames: int) -> _Windows:
    stored = pixels.images.shape[1]
    valid = pixels.valid_frames
    lengths = torch.full((len(sound),), stored) if valid is None else valid  # [B] frames
    start = middle_start(lengths, frames)  # [B]
    window = Pixels(frames_from(pixels.images, start, frames), pixels.aspect)
    starts = start[:, None] + torch.tensor((0, *SHIFTS))  # [B, 1 + K]
    sounds = [sound_of_frames(sound, first, frames, stored) for first in starts.T]
    last = torch.maximum(lengths, torch.tensor(frames))[:, None]
    return _Windows(window, sounds, (starts >= 0) & (starts + frames <= last))


def _embed_batch(
    encoder: Encoder, space: SoundSpace, windows: _Windows, boxes: Tensor, view: CentreView
) -> AudioVisualEmbeddings:
    """Embeddings by networks on one device; ``boxes`` [B, 4] are relative to the stored frame."""
    device = space.video_global.weight.device
    seen = view(windows.pixels.map(lambda part: part.to(device)))
    maps = encoder.feature_map(seen.pixels)
    own_sound, *shifted_sounds = [sound.to(device) for sound in windows.sounds]
    own = space(maps, encoder.normalise(seen.pixels), own_sound)
    cosines = [_synchrony(own.video_steps, own.audio_steps)]
    for shifted in shifted_sounds:
        audio_steps = space.audio_steps(shifted, windows.pixels.images.shape[1])
        cosines.append(_synchrony(own.video_steps, audio_steps))
    scores = torch.stack(cosines, dim=1)  # [B, 1 + K]
    return AudioVisualEmbeddings(
        space.of_clips(encoder.pool(maps)),
        own.sound.float().cpu(),
        scores[:, 0].float().cpu(),
        scores[:, 1:].float().cpu(),
        windows.valid[:, 1:],
        own.attention.float().cpu(),
        _boxes_in_view(boxes, seen.box.cpu()),
    )


def _synchrony(video_steps: Tensor, audio_steps: Tensor) -> Tensor:
    """Mean cosine of frames [B, T, D] and the sound's regions at their time [B, T, R, D]: [B]."""
    return torch.einsum("btd,btrd->btr", video_steps, audio_steps).mean(dim=(1, 2))


def _boxes_in_view(boxes: Tensor, view: Tensor) -> Tensor:
    """Boxes [B, 4] relative to the stored frame -> relative to a view of it, [B, 2, 3]."""
    scale = view[:, [0, 1], [0, 1]].repeat(1, 2)  # [B, 4]
    shift = view[:, :, 2].repeat(1, 2)  # [B, 4]
    in_frame = boxes * 2 - 1  # from -1 to 1
    in_view = (in_frame - shift) / scale
    return (in_view + 1).div(2).clamp(0, 1)
