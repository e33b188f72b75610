"""Global-local contrast: a clip and its sound find each other as wholes, and each frame finds its moment of sound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from likewise.data.batch import Batch
from likewise.data.columns.column import ColumnTransform
from likewise.data.video.clip_columns import SOUND
from likewise.data.video.clip_sampling import ClipSampling
from likewise.data.video.sound_windows import sound_of_frames
from likewise.encoders import Encoder
from likewise.heads.sound_space import (
    AudioVisualFeatures,
    SoundSpace,
    SoundSpaceSettings,
    save_sound_space,
)
from likewise.losses import mil_nce
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std
from likewise.methods.recipe import Recipe
from likewise.views.view import View
from likewise.views.view_policy import ViewPolicy

CODE = (
    "pretrain.py lines 17-19 and 64 of https://github.com/yunyikristy/global_local (commit 75c3c89)"
)
WIDE = {"sound_network": "resnet18", "bands": 80, "steps": 3, "dim": 512}
"""As wide as the public code has it."""

RECIPE = Recipe("adamw", learning_rate=2.8e-4, weight_decay=0.0, warm_up=0.0, schedule="constant")
"""Adam at a rate that stays, as the authors have it."""

PRESETS = {
    "small": Preset(
        "hundreds to thousands of clips with sound, 32 to 64 px, from scratch",
        "ours: the method's defaults, for the paper has no run of that size",
        Recipe("adamw", learning_rate=3e-3, weight_decay=1e-4),
        batch_size=64,
        epochs=100,
    ),
    "middle": Preset(
        "Kinetics, 112 px (--image-size 112), torchvision/r3d_18 on 32 frames (--frames 32)",
        f"{CODE}: Adam at 1e-4 for 32 clips, which is this rate for 256, ten epochs, widths of networks and heads; "
        "the batch, for negatives, and the cosines' temperature are ours",
        RECIPE,
        batch_size=64,
        epochs=10,
        settings=WIDE,
    ),
    "imagenet": Preset(
        "Kinetics, 224 px, torchvision/r3d_18 on 32 frames (--frames 32); images have no sound",
        "ours: the middle one's at twice the side, for the authors show no run of that size",
        RECIPE,
        batch_size=64,
        epochs=10,
        settings=WIDE,
        image_size=224,
    ),
}


@dataclass(frozen=True)
class GlobalLocal(Method):
    """Ma, Zeng, McDuff and Song 2021, https://arxiv.org/abs/2104.05418, and the authors' public code.

    The public code's pairing of frames and sound drifts from clip to clip, counts each positive bag twice, and compares
    products of any length; here each clip is paired by itself, bags are counted once, and cosines are compared. The
    slow pathway is the run's encoder on the same frames as the fast one's, where the paper gives it every eighth.
    """

    card = Card(
        title="Global-local audio-visual contrast",
        paper="Ma et al. 2021, https://arxiv.org/abs/2104.05418",
        needs="no labels",
        also_needs="videos with sound",
        idea="A clip attracts its soundtrack, and each frame attracts the sound at its own time.",
        choose_when="videos have sound that belongs to what is seen, and it matters when or where it is made",
        recipe=Recipe("adamw", learning_rate=3e-3, weight_decay=1e-4),
        presets=PRESETS,
    )
    clip_sampling = ClipSampling(16, 25.0)

    global_weight: float = 1.0
    """of the contrast of wholes (paper: 1); 0 leaves moments alone"""
    local_weight: float = 1.0
    """of the contrast of moments (paper: 1); 0 leaves wholes alone"""
    temperature: float = 0.1
    """divides the cosines, and those of the attention (public code: none, for products of any length)"""
    sound_network: str = "small"
    """small, or resnet18 as the paper's"""
    bands: int = 40
    """of the log-mel spectrogram (public code: 80)"""
    steps: int = 4
    """instants of sound for each frame (public code: 3, of 96 for 32 frames)"""
    dim: int = 128
    """width of the space of wholes (public code: 512)"""
    local_dim: int = 64
    """width of the space of moments (public code: 64)"""
    views: ViewPolicy = field(default_factory=lambda: ViewPolicy(crop_area=(0.5, 1.0)))
    """a window of consecutive frames, with one crop and flip for all of them"""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Sound."""
        return (SOUND,)

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """The encoder, which is the slow pathway, and the space with the networks for frames and for sound."""
        settings = SoundSpaceSettings(
            encoder.width,
            encoder.channels,
            self.sound_network,
            self.bands,
            self.steps,
            self.dim,
            self.local_dim,
            self.temperature,
        )
        return Nets(encoder=encoder, space=SoundSpace(settings))

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """A window of each clip and the sound of exactly that time, as wholes and step by step."""
        view = self.views(batch.pixels, progress.rng("view", batch))
        compared = self.project(nets, view, sound_of_view(view, batch))
        return {
            "sound": compared.sound,  # [B, D]
            "locations": compared.locations,  # [B, L, D]
            "frames": compared.video_steps,  # [B, T, d]
            "frame_sounds": compared.audio_steps,  # [B, T, r, d]
        }

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Global: each sound finds its clip by one location or more. Local: each frame finds its own sound."""
        global_loss = mil_nce(outputs["sound"], outputs["locations"], self.temperature)
        frames = outputs["frames"].flatten(0, 1)  # [B T, d]
        frame_sounds = outputs["frame_sounds"].flatten(0, 1)  # [B T, r, d]
        local_loss = mil_nce(frames, frame_sounds, self.temperature)
        metrics = {
            "global": global_loss,
            "local": local_loss,
            "feature_std": feature_std(outputs["sound"]),
        }
        return Step(self.global_weight * global_loss + self.local_weight * local_loss, metrics)

    def project(self, nets: Nets, view: View, sound: Tensor) -> AudioVisualFeatures:
        """Views of clips and their sounds in the spaces that they share."""
        maps = nets.encoder.feature_map(view.pixels)
        return nets.space(maps, nets.encoder.normalise(view.pixels), sound)

    def save(self, nets: Nets, transforms: Mapping[str, ColumnTransform], folder: Path) -> None:
        """The space, by which a sound finds clips."""
        save_sound_space(nets.space, folder)


def sound_of_view(view: View, batch: Batch) -> Tensor:
    """The sound of exactly the frames that a view shows: float [B, samples] in [-1, 1]."""
    assert view.start is not None
    frames, stored_frames = view.pixels.shape[1], batch.pixels.images.shape[1]
    return sound_of_frames(batch.modalities[SOUND], view.start, frames, stored_frames)
