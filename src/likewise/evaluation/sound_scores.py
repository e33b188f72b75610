"""What a run that learned from sound can do, beside an untrained one: retrieval both ways, step, and attention."""

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
from likewise.evaluation.metrics.retrieval import Ranks, RetrievalDirections, Retrieved, measure_retrieval, ranks
from likewise.evaluation.run_scores import Scored
from likewise.evaluation.statistics.confidence import IMAGE_MEAN, image_mean
from likewise.evaluation.statistics.scores import Measurement, Score
from likewise.heads.sound_space import SoundSpace, load_sound_space
from likewise.randomness import seed_networks
from likewise.run_folder import RunFolder
from likewise.views.motion.temporal_windows import frames_from
from likewise.views.policies import CentreView

SHIFTS = (*range(-8, -2), *range(3, 9))
"""Frames by which sound is shifted against sight; fewer than three are hardly heard (0.12 s at 25 frames a second)."""

MOST = 2000
"""Test clips at most of which step and attention are measured, evenly from all."""

CLIPS_AT_A_TIME = 32
SOUND_DIRECTIONS = RetrievalDirections(("sound_to_clip", "clip_to_sound"), ("clips", "sounds"))


class AudioVisualEmbeddings(NamedTuple):
    """Test clips and their sounds, as a run's networks compare them."""

    clips: Tensor
    """float32 [N, D] of length 1: each as a whole"""
    sounds: Tensor
    """float32 [N, D] of length 1"""
    in_step: Tensor
    """float32 [N]: mean cosine of a frame and its own moment of sound"""
    shifted: Tensor
    """float32 [N, K]: the same with the sound shifted by each of `SHIFTS`"""
    fits: Tensor
    """bool [N, K]: which of those lie within what is kept of the clip"""
    attention: Tensor
    """float32 [N, L]"""
    boxes: Tensor
    """float32 [N, 4] in what the encoder is shown: where it sounds; NaN where the data do not say"""


def sound_scores(
    run: RunFolder, scored: Scored, test: Split | None, seed: int
) -> tuple[dict[str, list[Measurement]], Retrieved | None]:
    """Scores by encoder, and the test clips as the trained encoder's sounds rank them.

    The baselines' space and sounds are those of untrained networks.

    Args:
        run: where the space of clips and sounds lies; without one there are no scores.
        scored: the encoders.
        test: the test clips.
        seed: of the untrained networks.
    """
    trained = load_sound_space(run)
    if trained is None or test is None or test.clips is None or int(test.has_sound().sum()) < 2:
        return {}, None
    seed_networks(seed, "untrained space")
    untrained = SoundSpace(trained.settings).eval()
    positions = test.has_sound().nonzero().flatten()
    scores, retrieved = {}, None
    for who, encoder in scored.encoders.items():
        space = trained if who == "trained" else untrained
        met = embed_audio_visual(encoder, space, test, scored.image_size, scored.device)
        ranked = ranks_of(met)
        scores[who] = measure_audio_visual(met, ranked)
        if who == "trained":
            retrieved = Retrieved(positions, met.clips, met.sounds, ranked.owner, ranked.of_texts, texts=None)
    return scores, retrieved


def ranks_of(met: AudioVisualEmbeddings) -> Ranks:
    """How many clips each sound finds before its own, and the other way round."""
    return ranks(met.clips, met.sounds, torch.arange(len(met.clips)))


def measure_audio_visual(met: AudioVisualEmbeddings, ranked: Ranks) -> list[Measurement]:
    """Recall at 1, 5 and 10 both ways, the area under the curve of step, and attention where it sounds."""
    count = len(met.clips)
    outcomes, scores = measure_retrieval(ranked, SOUND_DIRECTIONS), list[Score]()
    some = torch.linspace(0, count - 1, min(count, MOST)).round().long()
    if bool(met.fits[some].any()):
        shifts = {"shifted_by": "3 to 8 frames either way", "chance": 0.5, "interval": BOOTSTRAP}
        area = sync_auc(met.in_step[some], met.shifted[some], met.fits[some])
        scores.append(Score("sync_auc", *area, len(some), shifts))
    known = some[~met.boxes[some].isnan().any(dim=1)]
    if len(known):
        scores += _attention_scores(met.attention[known], met.boxes[known])
    return outcomes + [Measurement(score, torch.zeros(0)) for score in scores]


def _attention_scores(attention: Tensor, boxes: Tensor) -> list[Score]:
    """The share of the attention that lies where it sounds; by chance as much as that is of the picture."""
    even = float((boxes[:, 2:] - boxes[:, :2]).prod(dim=1).mean())
    protocol = {"chance": round(even, 4), "interval": IMAGE_MEAN}
    return [Score("attention_in_box", *image_mean(attention_in_boxes(attention, boxes)), len(boxes), protocol)]


@torch.no_grad()
def embed_audio_visual(
    encoder: Encoder, space: SoundSpace, test: Split, size: int, device: torch.device
) -> AudioVisualEmbeddings:
    """The middle window of each test clip that has sound, beside the sound of exactly that time, and shifted."""
    rows, frames = test.has_sound().nonzero().flatten(), test.images.frames
    sound, boxes, whole = test.manifest.columns[SOUND], test.manifest.columns.get(SOUND_BOX), test.clips
    boxes = boxes if isinstance(boxes, Boxes) else Boxes.concat([len(test.manifest)])
    assert isinstance(sound, Sound) and whole is not None
    parts = []
    with eval_mode(encoder.to(device)), eval_mode(space.to(device)):
        for part in rows.split(CLIPS_AT_A_TIME):
            given = whole.read(part), sound.read(part), boxes.read(part)
            parts.append(_met(encoder, space, *given, frames, size, device))
    return AudioVisualEmbeddings(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _met(
    encoder: Encoder,
    space: SoundSpace,
    pixels: Pixels,
    sound: Tensor,
    boxes: Tensor,
    frames: int,
    size: int,
    device: torch.device,
) -> AudioVisualEmbeddings:
    kept = pixels.images.shape[1]
    shown = torch.full((len(sound),), kept) if pixels.shown is None else pixels.shown
    start = middle_start(shown, frames)
    window = Pixels(frames_from(pixels.images, start, frames), pixels.aspect).map(lambda each: each.to(device))
    view = CentreView(size)(window)
    maps = encoder.feature_map(view.pixels)
    begins = start[:, None] + torch.tensor((0, *SHIFTS))  # [B, 1 + K]
    sounds = [sound_of_frames(sound, begin, frames, kept).to(device) for begin in begins.T]
    own = space(maps, encoder.normalise(view.pixels), sounds[0])
    steps = [own.heard, *(space.heard(each, frames) for each in sounds[1:])]
    scores = torch.stack([torch.einsum("btd,btrd->btr", own.seen, each).mean(dim=(1, 2)) for each in steps], dim=1)
    fits = (begins >= 0) & (begins + frames <= torch.maximum(shown, torch.tensor(frames))[:, None])
    return AudioVisualEmbeddings(
        space.of_clips(encoder.pool(maps)),
        own.sound.float().cpu(),
        scores[:, 0].float().cpu(),
        scores[:, 1:].float().cpu(),
        fits[:, 1:],
        own.attention.float().cpu(),
        _as_shown(boxes, view.box.cpu()),
    )


def _as_shown(boxes: Tensor, view: Tensor) -> Tensor:
    """Boxes [B, 4] as shares of the stored frame, as shares of a view [B, 2, 3] of it."""
    scale, shift = view[:, [0, 1], [0, 1]].repeat(1, 2), view[:, :, 2].repeat(1, 2)
    return (((boxes * 2 - 1) - shift) / scale + 1).div(2).clamp(0, 1)
