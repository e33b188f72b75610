"""LiRA on a page: the sound predicted from silent lips, next to the true one."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from likewise.data.batch import Batch
from likewise.data.video.clip_columns import SOUND
from likewise.methods import Nets, Progress
from likewise.methods.lira import LiRA
from likewise.methods.method import Outputs
from likewise.report.pictures.illustration import SIDE, Illustration, Picture
from likewise.views.audio.log_mel import as_image

CLIPS = 8
"""clips that are drawn"""
EXPLANATION = (
    "Training clips as in the last step: the middle frame of the window, the acoustic features of its sound (time from "
    "left to right, low bands at the bottom, high values bright), and the features predicted from the silent frames. "
    "The number is the mean absolute error relative to that of always predicting the mean."
)


def illustrate_predicted_sound(
    method: LiRA, nets: Nets, batch: Batch, progress: Progress
) -> Illustration:
    """Predicted next to true acoustic features of a few training clips."""
    view = method.views(batch.pixels, progress.rng("view", batch))
    rows = method.predict(nets, view, batch.pixels.valid_frames, batch.modalities[SOUND])
    return draw_predicted_sound(view.pixels, rows)


def draw_predicted_sound(pixels: Tensor, rows: Outputs) -> Illustration:
    """A row of pictures for each of a few clips.

    Args:
        pixels: float [B, T, C, S, S] in [0, 1], the frames.
        rows: ``prediction`` and ``target``, [B, T, F] each, standardised.
    """
    prediction = rows["prediction"].float()
    target = rows["target"].float()
    absolute = (prediction - target).abs().mean(dim=(1, 2))  # [B]
    error = absolute / target.abs().mean(dim=(1, 2))  # [B]
    middle = pixels.shape[1] // 2
    channels = pixels.shape[2]
    drawn = []
    for clip in range(min(CLIPS, len(pixels))):
        frame = Picture(_square(pixels[clip, middle]), "", "frame")
        true = Picture(_bands(target[clip], channels), "", "target")
        caption = f"{100 * float(error[clip]):.0f}%"
        predicted = Picture(_bands(prediction[clip], channels), caption, "prediction")
        drawn.append([frame, true, predicted])
    return Illustration("Sound predicted from lips", EXPLANATION, drawn)


def _bands(values: Tensor, channels: int) -> Tensor:
    """[T, F] -> [channels, SIDE, SIDE] in [0, 1], time to the right and the first band at the bottom."""
    return _square(as_image(values.T)[None]).expand(channels, -1, -1)


def _square(picture: Tensor) -> Tensor:
    return F.interpolate(picture[None], size=(SIDE, SIDE), mode="nearest")[0]
