"""Ranges of a run's settings, checked before anything is opened or written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from likewise.adaptation import Adaptation
from likewise.errors import LikewiseError
from likewise.runs.settings import TrainSettings


class Range(NamedTuple):
    """The values that a number may have."""

    low: float
    high: float = math.inf
    includes_low: bool = True
    includes_high: bool = True

    def __contains__(self, value: float) -> bool:  # type: ignore[override]
        above = self.low < value or (self.includes_low and value == self.low)
        below = value < self.high or (self.includes_high and value == self.high)
        return above and below

    def __str__(self) -> str:
        low = f"{self.low} or more" if self.includes_low else f"above {self.low}"
        if self.high == math.inf:
            return low
        return f"{low} and {'at most' if self.includes_high else 'below'} {self.high}"


ABOVE_ZERO = Range(0, includes_low=False)
SHARE = Range(0, 1)
INNER_SHARE = Range(0, 1, includes_low=False, includes_high=False)

RANGES: Mapping[str, Range] = {
    "image_size": Range(8),
    "frames": Range(1),
    "frame_rate": ABOVE_ZERO,
    "epochs": ABOVE_ZERO,
    "steps": Range(1),
    "microbatch": Range(1),
    "accumulate_grad_batches": Range(1),
    "clip_grad_norm": ABOVE_ZERO,
    "model_ema_decay": INNER_SHARE,
    "encoder_lr_scale": ABOVE_ZERO,
    "devices": Range(0),
    "num_workers": Range(-1),
    "shuffle_buffer": Range(1),
    "max_bad": SHARE,
    "num_evals": Range(0),
    "save_every": Range(1),
    "caption_noise": SHARE,
    "seconds": ABOVE_ZERO,
    "val_fraction": INNER_SHARE,
    "test_fraction": INNER_SHARE,
    "imbalance_ratio": Range(1),
    "imbalance_rare": SHARE,
    "label_noise": Range(0, 1, includes_high=False),
    "seed": Range(0),
}
"""of the settings that are numbers"""


def check_settings(settings: TrainSettings) -> None:
    """Refuse settings that contradict each other or lie outside their range.

    Raises:
        LikewiseError: with the option's name.
    """
    if settings.resume and settings.overwrite:
        raise LikewiseError("--resume continues a run and --overwrite deletes it; give one of them.")
    if settings.allow_missing and settings.pretrained_weights in ("", "lite0", "timm"):
        raise LikewiseError(
            f"--allow-missing was given with --pretrained {settings.pretrained or 'none'}; it belongs to a file of "
            f"weights: --pretrained path/to/weights.pth --allow-missing."
        )
    if settings.pretrained_weights and settings.from_run:
        raise LikewiseError("--pretrained and --from both name a start; give one of them.")
    if settings.adapt is not None:
        Adaptation.parse(settings.adapt)
    for name, allowed in RANGES.items():
        value = getattr(settings, name)
        if isinstance(value, int | float) and value not in allowed:
            raise LikewiseError(f"--{name.replace('_', '-')} {value} was given; it must be {allowed}.")
