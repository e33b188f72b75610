"""Flow similarity: embeddings of pixels are as similar as the optical flow at those pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from likewise.data.batch import Batch
from likewise.data.video.clip_columns import FLOW
from likewise.data.video.clip_sampling import ClipSampling
from likewise.data.video.optical_flow import unpacked
from likewise.encoders import Encoder
from likewise.encoders.locations import hypercolumns, sample_features, sample_locations
from likewise.heads import mlp
from likewise.losses import kernel_alignment, kernel_cross_entropy, kernel_regression
from likewise.losses.float32 import unit
from likewise.losses.kernel_matching import KernelTarget, gaussian_log_kernel, mean_cosine
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step
from likewise.methods.recipe import Recipe
from likewise.views.motion.flow import (
    flow_magnitudes,
    flow_view,
    mean_magnitude,
    normalise_flow,
    relative_motion,
)
from likewise.views.motion.temporal_windows import frames_from, random_start
from likewise.views.policies import single_frame
from likewise.views.view_policy import ViewPolicy

RECIPE = Recipe("adamw", learning_rate=1e-3, weight_decay=1e-4)

PRESETS = {
    "small": Preset(
        "hundreds of videos, 32 to 64 px",
        "ours: the method's defaults, for the paper has no run of that size",
        RECIPE,
        batch_size=128,
        epochs=200,
    ),
    "middle": Preset(
        "thousands of videos, 96 to 128 px",
        "ours: the paper's number of pixels, with a smaller batch",
        RECIPE,
        batch_size=128,
        epochs=100,
        settings={"positions": 512, "still": 0.1},
    ),
    "imagenet": Preset(
        "frames of 200,000 videos, 224 px",
        "reconstructed after Sec. 4 of the paper, https://arxiv.org/abs/1807.05636, which trains AlexNet on YFCC100M: "
        "the pixels of an image, its size and the first rate; the length is ours",
        RECIPE,
        batch_size=256,
        epochs=10,
        settings={"positions": 512, "still": 0.2},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class FlowSimilarity(Method):
    """Mahendran, Thewlis & Vedaldi 2018, Sec. 3, https://arxiv.org/abs/1807.05636.

    The encoder sees single frames; flow is what it learns from, never what it sees. How flow is normalised, which
    images are left out, the width of the kernel, and what cosines are multiplied by are reconstructed.
    """

    card = Card(
        title="Flow similarity",
        paper="Mahendran et al. 2018, https://arxiv.org/abs/1807.05636",
        needs="no labels",
        also_needs="videos",
        idea="Pixels of one frame get embeddings as similar as their motion, so that moving objects stand out.",
        choose_when="there are videos in which things move, and single images are to be segmented later",
        recipe=Recipe("adamw", learning_rate=1e-3, weight_decay=1e-4),
        presets=PRESETS,
    )
    clip_sampling = ClipSampling(1, 4.0)

    loss: Literal["cross-entropy", "regression", "alignment"] = "cross-entropy"
    """how two similarity matrices are compared (paper: cross-entropy is the best of the three)"""
    target: KernelTarget = "l1"
    """for cross-entropy, how a row of the flow's kernel becomes probabilities: divided by its sum, or its softmax"""
    positions: int = 256
    """pixels of each image that are compared with each other (paper: 512 of 224 x 224)"""
    fast: float = 0.0
    """share of those that is sampled from the fastest quarter of the pixels, for small things that move (paper: 0)"""
    temperature: float = 0.25
    """divides the cosines, for cross-entropy"""
    width: float = 0.5
    """standard deviation of the flow's Gaussian kernel, in mean lengths of the image's own motion"""
    still: float = 0.05
    """pixels of the view; an image whose own motion is shorter in the mean teaches nothing and is left out"""
    hidden: int = 256
    """width of the hidden layer that each pixel's embedding is made by"""
    dim: int = 16
    """numbers of a pixel's embedding (paper: 16)"""
    views: ViewPolicy = field(default_factory=single_frame)
    """crop, flip, colour jitter"""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Optical flow."""
        return (FLOW,)

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder, and the head that reads all of its maps at a pixel."""
        widths = sum(width for width, _ in encoder.map_shapes(self.views.size or 64))
        return Nets(encoder=encoder, head=mlp(widths, self.hidden, self.dim, batch_norm=False))

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Some pixels of one frame of each clip, and their motion until the next frame."""
        frames, motion = self.frames_and_motion(batch, progress)
        rng = progress.rng("places", batch)
        magnitudes = flow_magnitudes(motion)
        locations = sample_locations(rng, self.positions, magnitudes, self.fast)  # [B, P, 2]
        moving = (mean_magnitude(motion) > self.still).float()
        return {
            "pixels": self.embeddings(nets, frames, locations),
            "flow": sample_features(normalise_flow(motion), locations),
            "moving": moving,
        }

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Within each image, the similarities of pixels against those of their motions."""
        pixels, moving = outputs["pixels"], outputs["moving"]
        kernel = gaussian_log_kernel(outputs["flow"], self.width)
        if self.loss == "cross-entropy":
            loss = kernel_cross_entropy(pixels, kernel, self.temperature, self.target, moving)
        elif self.loss == "regression":
            loss = kernel_regression(pixels, kernel, moving)
        else:
            loss = kernel_alignment(pixels, kernel, moving)
        return Step(loss, {"mean_cosine": mean_cosine(pixels.detach()), "moving": moving.mean()})

    def embeddings(self, nets: Nets, frames: Tensor, locations: Tensor) -> Tensor:
        """Unit vectors [B, P, dim] of pixels of images [B, C, S, S], at locations [B, P, 2] of their [-1, 1] plane."""
        _, maps = nets.encoder.forward_with_maps(frames)
        made = nets.head(hypercolumns(maps, locations))
        return unit(made.flatten(0, 1)).unflatten(0, made.shape[:2])

    def frames_and_motion(self, batch: Batch, progress: Progress) -> tuple[Tensor, Tensor]:
        """A frame of each clip [B, C, S, S], and its own motion until the next in the view's pixels [B, 2, S, S]."""
        # So that a next frame is there.
        start = random_start(progress.rng("instant", batch), batch.pixels, 2)
        view = self.views(batch.pixels, progress.rng("view", batch), start=start)
        frames = view.pixels[:, 0]
        flow = unpacked(frames_from(batch.modalities[FLOW], start, 1)[:, 0])
        return frames, relative_motion(flow_view(flow, view.box, frames.shape[-1]))
