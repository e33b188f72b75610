"""Views of the motion in a window of a clip, as input for a motion network."""

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
from likewise.views.motion.flow import flow_edges, flow_view
from likewise.views.motion.temporal_windows import frames_from
from likewise.views.view import View
from likewise.views.view_policy import ViewPolicy

MotionKind = Literal["flow-edges", "flow", "frame-difference"]
"""Edges of the flow; the flow itself (x, y); or the difference between neighbouring frames."""

LIMIT = 10 / 224
"""Flow and its derivatives are clamped at, and divided by, this share of the side: 10 of 224 pixels. Reconstructed."""


class MotionViews(NamedTuple):
    """Random views of the motion in windows of clips: T - 1 images between T consecutive frames.

    Flow is stored for whole frames and cropped and scaled like them. After the end of a video there is no motion.
    """

    kind: MotionKind
    """the input"""
    policy: ViewPolicy
    """crop, flip and size; colour augmentation applies to frame differences only"""

    @property
    def size(self) -> int:
        """Side of an image in pixels.

        Raises:
            LikewiseError: the policy names none.
        """
        if self.policy.size is None:
            raise LikewiseError("The views of motion need a size: give ViewPolicy(size=).")
        return self.policy.size

    @property
    def reads_flow(self) -> bool:
        """Whether flow is needed besides pixels."""
        return self.kind != "frame-difference"

    def channels(self, frame_channels: int) -> int:
        """Channels of an image, for frames of so many channels."""
        return {"flow-edges": 1, "flow": 2, "frame-difference": frame_channels}[self.kind]

    def __call__(self, batch: Batch, rng: BatchRNG, frame_view: View) -> Tensor:
        """Float [B, T - 1, channels, s, s]: edges from 0 to 1, flow and differences from -1 to 1.

        Args:
            batch: clips, with their flow in ``modalities`` if it is needed.
            rng: numbers for as many rows.
            frame_view: a view of the frames; its window is used, with an independent crop and flip.

        Raises:
            LikewiseError: the window is a single frame.
        """
        policy = self.policy
        start = frame_view.start
        count = frame_view.pixels.shape[1] - 1
        if start is None or count < 1:
            raise LikewiseError(
                "A single frame has no motion. Learn from videos, and give --frames 2 or more."
            )
        if not self.reads_flow:
            frames = replace(policy, frames=count + 1)(batch.pixels, rng, start).pixels
            return frames.diff(dim=1)
        flow = frames_from(batch.modalities[FLOW], start, count)
        box = policy.sample_boxes(rng, batch.pixels.aspect)
        with torch.autocast(flow.device.type, enabled=False):
            boxes = box.to(flow.device).repeat_interleave(count, dim=0)
            cropped = flow_view(unpacked(flow).flatten(0, 1), boxes, self.size)
            motion = self._scaled(cropped)
        return motion.unflatten(0, (batch.size, count))

    def _scaled(self, flow: Tensor) -> Tensor:
        """Flow of a view's frames [N, 2, s, s] as the network sees it."""
        limit = LIMIT * self.size
        if self.kind == "flow-edges":
            return flow_edges(flow, limit)
        return (flow / limit).clamp(-1, 1)
