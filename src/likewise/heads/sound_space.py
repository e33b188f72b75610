"""Where clips and sounds are compared, as wholes and step by step; on disk beside the encoder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from likewise.data.video.sound_windows import samples_from
from likewise.data.video.video_decoding import SOUND_RATE
from likewise.encoders.sound_networks import sound_network
from likewise.encoders.thin_pathway import ThinPathway
from likewise.heads.spatial_attention import attended, attention
from likewise.run_folder import read_json, write_json
from likewise.views.audio.log_mel import LogMel

FOLDER = "sound"
"""in a run's folder"""
SPACE, WEIGHTS = "space.json", "space.safetensors"
"""what lies in a run's folder ``sound``"""


@dataclass(frozen=True)
class SoundSpaceSettings:
    """All that is needed to build a space of clips and sounds again."""

    clip_width: int
    """channels of the clip encoder's map"""
    channels: int
    """colours of the clips"""
    network: str = "small"
    """for sound: ``small`` or ``resnet18``"""
    bands: int = 40
    """of the log-mel spectrogram"""
    steps: int = 4
    """instants of sound that belong to one frame"""
    dim: int = 128
    """width of the space of wholes"""
    local_dim: int = 64
    """width of the space of steps"""
    temperature: float = 0.1
    """divides the cosines of sound and places; their softmax is the attention"""


class Compared(NamedTuple):
    """Clips of T frames and their sounds, both as they can be compared; all but the attention of length 1."""

    sound: Tensor
    """[B, D]: each sound as a whole"""
    places: Tensor
    """[B, L, D]: each place of the clips' maps, averaged over time"""
    attention: Tensor
    """[B, L]: where each clip fits its own sound, adding up to 1"""
    seen: Tensor
    """[B, T, d]: each frame where the attention lies"""
    heard: Tensor
    """[B, T, r, d]: the instants of sound of each frame"""


class SoundSpace(nn.Module):
    """What global-local contrast adds to a clip encoder: a network for sound, a thin one for frames, and heads.

    Ma et al. 2021, https://arxiv.org/abs/2104.05418. Heads are linear maps of each place or instant, as in the public
    code. What is compared has length 1 here; their products of 512 numbers as they are make the loss begin beyond 20.

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
        self.place_global = nn.Linear(settings.clip_width, settings.dim, bias=False)
        self.sound_local = nn.Linear(self.network.width, settings.local_dim, bias=False)
        self.place_local = nn.Linear(self.thin.width, settings.local_dim, bias=False)

    def forward(self, maps: Tensor, clips: Tensor, sound: Tensor) -> Compared:
        """Clips and the sound of exactly their time.

        Args:
            maps: the clip encoder's, [B, width, t, s, s].
            clips: normalised as its encoder has them, [B, C, T, S, S].
            sound: float [B, samples] in [-1, 1].
        """
        frames, side = clips.shape[2], maps.shape[-1]
        instants = self.network(self.spectrogram(sound, frames)).mT  # [B, T r, width]
        whole = _unit(self.sound_global(instants.mean(dim=1)))
        places = _unit(self.place_global(maps.mean(dim=2).flatten(2).mT))
        where = attention(whole, places, self.settings.temperature)
        moments = F.adaptive_avg_pool3d(self.thin(clips), (frames, side, side))  # a place of each map for one
        seen = _unit(self.place_local(attended(moments, where)))
        return Compared(whole, places, where, seen, self._moments(instants, frames))

    def heard(self, sound: Tensor, frames: int) -> Tensor:
        """The instants of each of so many frames: float [B, samples] -> [B, frames, r, d] of length 1."""
        return self._moments(self.network(self.spectrogram(sound, frames)).mT, frames)

    def _moments(self, instants: Tensor, frames: int) -> Tensor:
        return _unit(self.sound_local(instants)).unflatten(1, (frames, -1))

    def spectrogram(self, sound: Tensor, frames: int) -> Tensor:
        """Log-mel with exactly ``steps`` instants for each frame: float [B, samples] -> [B, bands, steps * frames].

        The instant after the last frame is cut off, then time is stretched to the whole number, clip by clip, so that
        nothing drifts. At 25 frames a second, of 10 ms steps, there is nothing to stretch.
        """
        made, wanted = self.log_mel(sound)[..., :-1], self.settings.steps * frames
        return made if made.shape[2] == wanted else F.interpolate(made, wanted, mode="linear")

    @torch.no_grad()
    def of_clips(self, features: Tensor) -> Tensor:
        """The clip encoder's features [B, width], its map's mean -> float32 [B, dim] of length 1, on the CPU."""
        return _unit(self.place_global(features.to(self.place_global.weight.device))).float().cpu()

    @torch.no_grad()
    def of_sound(self, sound: Tensor, frames: int, frame_rate: float) -> Tensor:
        """A sound of any length, int16 [samples] -> float32 [dim] of length 1, on the CPU.

        The mean of its stretches of as many frames as were trained on. The last one, if shorter, ends with the sound; a
        sound shorter than one is followed by silence.
        """
        length = round(frames / frame_rate * SOUND_RATE)
        padded = F.pad(sound, (0, max(length - len(sound), 0)))[None]
        first = torch.arange(0, padded.shape[1] - length + 1, length)
        first = torch.cat([first, torch.tensor([padded.shape[1] - length])]).unique()
        stretches = samples_from(padded.expand(len(first), -1), first, length)
        return F.normalize(self.of_sounds(stretches, frames).mean(dim=0), dim=0)

    @torch.no_grad()
    def of_sounds(self, sound: Tensor, frames: int) -> Tensor:
        """Sounds of so many frames, float [B, samples] in [-1, 1] -> float32 [B, dim] of length 1, on the CPU."""
        made = self.network(self.spectrogram(sound.to(self.sound_global.weight.device), frames))
        return _unit(self.sound_global(made.mean(dim=2))).float().cpu()


def save_sound_space(space: SoundSpace, run: Path) -> None:
    """Write all that comparing sounds with clips needs into the folder ``sound`` of a run's."""
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    save_file({name: t.detach().cpu().contiguous() for name, t in space.state_dict().items()}, folder / WEIGHTS)
    write_json(folder / SPACE, asdict(space.settings))


def load_sound_space(run: Path) -> SoundSpace | None:
    """What `save_sound_space` wrote, in eval mode; None if the run did not learn from sound."""
    folder = run / FOLDER
    if not (folder / SPACE).is_file():
        return None
    space = SoundSpace(SoundSpaceSettings(**read_json(folder / SPACE)))
    space.load_state_dict(load_file(folder / WEIGHTS))
    return space.eval()


def _unit(rows: Tensor) -> Tensor:
    """Vectors along the last axis with length 1, in float32 or better."""
    wide = torch.promote_types(rows.dtype, torch.float32)
    with torch.autocast(rows.device.type, enabled=False):
        return F.normalize(rows.to(wide), dim=-1)
