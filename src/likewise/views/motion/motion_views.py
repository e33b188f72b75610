"""What moves in a window of a clip, and nothing else of it: what a method shows to a network for motion."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from likewise.data.batch import Batch
from likewise.data.video.clip_columns import FLOW
from likewise.data.video.optical_flow import unpacked
from likewise.errors import LikewiseError
from likewise.randomness import BatchRNG
from likewise.views.image.crop import random_boxes
from likewise.views.motion.flow import flow_edges, flow_view
from likewise.views.motion.temporal_windows import frames_from
from likewise.views.policies import ViewPolicy
from likewise.views.view import View

MotionKind = Literal["flow-edges", "flow", "frame-difference"]
"""How sharply flow changes from place to place; flow itself, to the right and down; or how pixels change."""

LIMIT = 10 / 224
"""Flow, or a slope of it, at which it is cut off and by which it is divided, as a share of the side: 10 pixels of 224.
Reconstructed, and not certain."""


class MotionViews(NamedTuple):
    """Random views of the motion in windows of clips: T - 1 pictures between T neighbouring frames.

    Flow belongs to whole frames and is cropped as they are, arrows growing with the picture. Only what lies between two
    frames of the window is shown, so none has to be made up behind the last. Once a video has ended nothing moves.
    """

    kind: MotionKind
    """what is shown"""
    policy: ViewPolicy
    """crop, flip and size; what it does to colours is done where frames are compared, not to flow"""

    @property
    def size(self) -> int:
        """Pixels along a side of a picture.

        Raises:
            LikewiseError: the policy names none.
        """
        if self.policy.size is None:
            raise LikewiseError("The views of motion name no size, on which a network depends: give ViewPolicy(size=).")
        return self.policy.size

    @property
    def reads_flow(self) -> bool:
        """Whether flow is needed; else pixels alone."""
        return self.kind != "frame-difference"

    def channels(self, of_pixels: int) -> int:
        """Channels of a picture, where a frame has so many."""
        return {"flow-edges": 1, "flow": 2, "frame-difference": of_pixels}[self.kind]

    def __call__(self, batch: Batch, rng: BatchRNG, beside: View) -> Tensor:
        """Float [B, T - 1, channels, s, s]: edges from 0 to 1, flow and differences from -1 to 1.

        Args:
            batch: clips, with their flow beside them where it is read.
            rng: numbers for as many rows.
            beside: a view of the frames, whose window is taken; crop and flip are the motion's own.

        Raises:
            LikewiseError: the window is a single frame.
        """
        policy, start, count = self.policy, beside.start, beside.pixels.shape[1] - 1
        if start is None or count < 1:
            raise LikewiseError("A still picture shows no motion. Learn from videos, and give --frames 2 or more.")
        if not self.reads_flow:
            return replace(policy, frames=count + 1)(batch.pixels, rng, start).pixels.diff(dim=1)
        flow = frames_from(batch.modalities[FLOW], start, count)
        box = random_boxes(rng, batch.pixels.aspect, policy.crop_area, policy.crop_ratio, policy.flip)
        with torch.autocast(flow.device.type, enabled=False):
            boxes = box.to(flow.device).repeat_interleave(count, dim=0)
            seen = flow_view(unpacked(flow).flatten(0, 1), boxes, self.size)
            limit = LIMIT * self.size
            shown = flow_edges(seen, limit) if self.kind == "flow-edges" else (seen / limit).clamp(-1, 1)
        return shown.unflatten(0, (batch.size, count))
