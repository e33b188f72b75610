"""The model of global-local contrast between clips and sounds, and its files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likewise.data.video.sound_windows import samples_from
from likewise.data.video.video_decoding import SOUND_RATE
from likewise.encoders.sound_networks import sound_network
from likewise.encoders.thin_pathway import ThinPathway
from likewise.field_types import record_of
from likewise.heads.spatial_attention import attention_pooling, attention_weights
from likewise.json_files import read_json, reading, write_json
from likewise.tensor_files import load_tensors, save_tensors
from likewise.views.audio.log_mel import LogMel

FOLDER = "sound"
"""in a run's folder"""
SPACE, WEIGHTS = "space.json", "space.safetensors"
"""files of a run's folder ``sound``"""


@dataclass(frozen=True)
class SoundSpaceSettings:
    """Everything needed to rebuild a `SoundSpace`; stored next to its weights."""

    clip_width: int
    """channels of the clip encoder's map"""
    channels: int
    """colour channels of the clips"""
    network: str = "small"
    """audio network: ``small`` or ``resnet18``"""
    bands: int = 40
    """mel bands of the spectrogram"""
    steps: int = 4
    """time steps of the spectrogram per frame"""
    dim: int = 128
    """width of the global embedding"""
    local_dim: int = 64
    """width of the local embeddings"""
    temperature: float = 0.1
    """divides the cosines of sound and locations before the softmax of the attention"""


class AudioVisualFeatures(NamedTuple):
    """Embeddings of clips of T frames and of their sounds. All have unit length, except the attention."""

    sound: Tensor
    """[B, D]: global embedding of each sound"""
    locations: Tensor
    """[B, L, D]: each location of the clips' maps, averaged over time"""
    attention: Tensor
    """[B, L]: attention of each sound over the locations of its clip; rows sum to 1"""
    video_steps: Tensor
    """[B, T, d]: each frame, pooled by the attention"""
    audio_steps: Tensor
    """[B, T, r, d]: the time steps of sound of each frame"""


class SoundSpace(nn.Module):
    """The parts of global-local contrast besides the clip encoder: an audio network, a thin network for frames, heads.

    Ma et al. 2021, https://arxiv.org/abs/2104.05418. Heads are linear layers on each location or time step, as in the
    public code. Embeddings are normalised here; without that the loss of the public code starts above 20.

    Args:
        settings: what to build.
    """

    def __init__(self, settings: SoundSpaceSettings) -> None:
        super().__init__()
        self.settings = settings
        self.log_mel = LogMel(SOUND_RATE, settings.bands)
        self.network = sound_network(settings.network, settings.bands)
        self.thin = ThinPathway(settings.channels)
        self.sound_global = nn.Linear(self.network.width, settings.dim, bias=False)
        self.video_global = nn.Linear(settings.clip_width, settings.dim, bias=False)
        self.sound_local = nn.Linear(self.network.width, settings.local_dim, bias=False)
        self.video_local = nn.Linear(self.thin.width, settings.local_dim, bias=False)

    def forward(self, maps: Tensor, clips: Tensor, sound: Tensor) -> AudioVisualFeatures:
        """Embeddings of clips and of the sound of exactly the same time.

        Args:
            maps: feature maps of the clip encoder, [B, width, t, s, s].
            clips: normalised by that encoder, [B, C, T, S, S].
            sound: float [B, samples] in [-1, 1].
        """
        frames = clips.shape[2]
        side = maps.shape[-1]
        steps = self.network(self.spectrogram(sound, frames)).mT  # [B, T * r, width]
        global_sound = _unit(self.sound_global(steps.mean(dim=1)))  # [B, D]
        still_map = maps.mean(dim=2)  # [B, width, s, s], over time
        locations = _unit(self.video_global(still_map.flatten(2).mT))  # [B, L, D]
        weights = attention_weights(global_sound, locations, self.settings.temperature)  # [B, L]
        # The thin network's map is pooled to the locations of the clip encoder's.
        fine = F.adaptive_avg_pool3d(self.thin(clips), (frames, side, side))  # [B, width, T, s, s]
        video_steps = _unit(self.video_local(attention_pooling(fine, weights)))  # [B, T, d]
        audio_steps = self._per_frame(steps, frames)  # [B, T, r, d]
        return AudioVisualFeatures(global_sound, locations, weights, video_steps, audio_steps)

    def audio_steps(self, sound: Tensor, frames: int) -> Tensor:
        """Local embeddings of the time steps of each frame: float [B, samples] -> [B, frames, r, d] of unit length."""
        steps = self.network(self.spectrogram(sound, frames)).mT  # [B, T * r, width]
        return self._per_frame(steps, frames)

    def _per_frame(self, steps: Tensor, frames: int) -> Tensor:
        return _unit(self.sound_local(steps)).unflatten(1, (frames, -1))

    def spectrogram(self, sound: Tensor, frames: int) -> Tensor:
        """Log-mel with exactly ``steps`` instants for each frame: float [B, samples] -> [B, bands, steps * frames].

        The instant after the last frame is cut off, then time is stretched to the whole number, clip by clip, so that
        nothing drifts. At 25 frames a second, of 10 ms steps, there is nothing to stretch.
        """
        spectrogram = self.log_mel(sound)[..., :-1]
        wanted = self.settings.steps * frames
        if spectrogram.shape[2] == wanted:
            return spectrogram
        return F.interpolate(spectrogram, wanted, mode="linear")

    @torch.no_grad()
    def of_clips(self, features: Tensor) -> Tensor:
        """The clip encoder's features [B, width], its map's mean -> float32 [B, dim] of length 1, on the CPU."""
        features = features.to(self.video_global.weight.device)
        return _unit(self.video_global(features)).float().cpu()

    @torch.no_grad()
    def of_sound(self, sound: Tensor, frames: int, frame_rate: float) -> Tensor:
        """A sound of any length, int16 [samples] -> float32 [dim] of length 1, on the CPU.

        The mean of its stretches of as many frames as were trained on. The last one, if shorter, ends with the sound; a
        sound shorter than one is followed by silence.
        """
        length = round(frames / frame_rate * SOUND_RATE)
        silence = max(length - len(sound), 0)
        padded = F.pad(sound, (0, silence))
        last = len(padded) - length
        first = torch.tensor([*range(0, last, length), last])  # [stretches]
        copies = padded.expand(len(first), -1)
        stretches = samples_from(copies, first, length)  # [stretches, length]
        mean = self.of_sounds(stretches, frames).mean(dim=0)  # [dim]
        return F.normalize(mean, dim=0)

    @torch.no_grad()
    def of_sounds(self, sound: Tensor, frames: int) -> Tensor:
        """Sounds of so many frames, float [B, samples] in [-1, 1] -> float32 [B, dim] of length 1, on the CPU."""
        sound = sound.to(self.sound_global.weight.device)
        steps = self.network(self.spectrogram(sound, frames))  # [B, width, T * r]
        vectors = _unit(self.sound_global(steps.mean(dim=2)))
        return vectors.float().cpu()


def save_sound_space(space: SoundSpace, run: Path) -> None:
    """Write all that comparing sounds with clips needs into the folder ``sound`` of a run's."""
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    save_tensors(folder / WEIGHTS, space.state_dict())
    write_json(folder / SPACE, asdict(space.settings))


def load_sound_space(run: Path) -> SoundSpace | None:
    """What `save_sound_space` wrote, in eval mode; None if the run did not learn from sound."""
    folder = run / FOLDER
    if not (folder / SPACE).is_file():
        return None
    with reading(folder / SPACE):
        settings = record_of(SoundSpaceSettings, read_json(folder / SPACE))
        space = SoundSpace(settings)
    space.load_state_dict(load_tensors(folder / WEIGHTS))
    return space.eval()


def _unit(rows: Tensor) -> Tensor:
    """Vectors along the last axis with length 1, in float32 or better."""
    wide = torch.promote_types(rows.dtype, torch.float32)
    with torch.autocast(rows.device.type, enabled=False):
        return F.normalize(rows.to(wide), dim=-1)
