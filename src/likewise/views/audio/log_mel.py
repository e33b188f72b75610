"""Sound as a log-mel spectrogram or as cepstral coefficients, batched, on the device that the sound is on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from likewise.errors import LikewiseError

FLOOR = 1e-10
"""Least energy before the logarithm: digital silence becomes log(1e-10), not minus infinity."""


@dataclass(frozen=True)
class LogMel:
    """A log-mel spectrogram: windows of 25 ms every 10 ms, energies in mel bands, their logarithm.

    The defaults are usual for speech recognition at 16 kHz (Davis & Mermelstein 1980,
    https://doi.org/10.1109/TASSP.1980.1163420, for the bands).
    """

    rate: int = 16_000
    """sampling rate in Hz"""
    bands: int = 80
    """number of mel bands"""
    window: int = 400
    """samples of a window (25 ms at 16 kHz)"""
    hop: int = 160
    """samples from one window to the next (10 ms)"""
    transform: int = 512
    """length of the Fourier transform; the window is padded to it"""
    low: float = 20.0
    """Hz at which the lowest band begins"""
    high: float = 7600.0
    """Hz at which the highest band ends; at most half the rate"""
    scale: Literal["slaney", "htk"] = "slaney"
    """slaney: linear below 1 kHz, bands of equal area (librosa's default); htk: logarithmic, bands of equal height"""
    standardise: bool = True
    """whether each clip gets mean 0 and variance 1 over its bands and instants"""

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= self.rate / 2:
            raise LikewiseError(
                f"LogMel(low={self.low:g}, high={self.high:g}) at {self.rate} samples a second: allowed is "
                f"0 <= low < high <= {self.rate / 2:g} Hz."
            )
        if not 0 < self.window <= self.transform or self.hop < 1 or self.bands < 1:
            raise LikewiseError(
                f"{self}: allowed are bands and hop of 1 or more, and a window within the transform."
            )

    def frames(self, samples: int) -> int:
        """Number of time steps of so many samples."""
        return 1 + samples // self.hop

    def __call__(self, sound: Tensor) -> Tensor:
        """Float [B, samples] in [-1, 1] -> float32 [B, bands, 1 + samples // hop].

        Windows are centred. The sound is padded by reflection, or with zeros if it is too short. A silent clip is all
        zeros after standardisation.
        """
        window = torch.hann_window(self.window, device=sound.device)
        mirror = "reflect" if sound.shape[1] > self.transform // 2 else "constant"
        spectrum = torch.stft(
            sound.float(),
            self.transform,
            self.hop,
            self.window,
            window,
            pad_mode=mirror,
            return_complex=True,
        )  # [B, transform // 2 + 1, T]
        filters = mel_filters(
            self.bands, self.transform, self.rate, self.low, self.high, self.scale
        )
        energy = filters.to(sound.device) @ spectrum.abs().square()  # [B, bands, T]
        logged = energy.clamp(min=FLOOR).log()
        return standardised(logged) if self.standardise else logged


def standardised(logged: Tensor) -> Tensor:
    """Each clip [bands, instants] of a batch with mean 0 and variance 1; one without variance becomes 0."""
    std, mean = torch.std_mean(
        logged,
        dim=(1, 2),
        correction=0,
        keepdim=True,
    )
    return (logged - mean) / std.clamp(min=1e-5)


MAX_DEVIATION = 2.5
"""Standard deviations above the mean that become white, and below it black."""


def as_image(bands: Tensor) -> Tensor:
    """Standardised [..., bands, T] to shades in [0, 1] of the same shape: low bands at the bottom, loud ones bright."""
    return (bands.flip(-2) / (2 * MAX_DEVIATION) + 0.5).clamp(0, 1)


def cepstrum(logged: Tensor, count: int = 13) -> Tensor:
    """Mel-frequency cepstral coefficients, an orthonormal cosine transform (DCT-II): [B, bands, T] -> [B, count, T]."""
    bands = logged.shape[1]
    position = torch.arange(bands, device=logged.device, dtype=logged.dtype) + 0.5
    order = torch.arange(count, device=logged.device, dtype=logged.dtype)
    basis = torch.cos(math.pi / bands * order[:, None] * position)  # [count, bands]
    basis *= math.sqrt(2 / bands)
    basis[0] /= math.sqrt(2)
    return basis @ logged


@lru_cache(maxsize=16)
def mel_filters(
    bands: int,
    transform: int,
    rate: int,
    low: float,
    high: float,
    scale: str,
) -> Tensor:
    """Float32 [bands, transform // 2 + 1]: triangles whose corners lie evenly on the mel scale."""
    to_mel, to_hertz = SCALES[scale]
    first, last = to_mel(torch.tensor([low, high], dtype=torch.float64)).tolist()
    even = torch.linspace(first, last, bands + 2, dtype=torch.float64)
    corners = to_hertz(even)
    frequencies = torch.linspace(0, rate / 2, transform // 2 + 1, dtype=torch.float64)
    left = corners[:-2, None]
    middle = corners[1:-1, None]
    right = corners[2:, None]
    rising = (frequencies - left) / (middle - left)
    falling = (right - frequencies) / (right - middle)
    triangles = torch.minimum(rising, falling).clamp(min=0)
    if scale == "slaney":
        triangles = triangles * 2 / (right - left)
    return triangles.float()


_LINEAR = 200 / 3
_BREAK = 1000.0
_STEP = math.log(6.4) / 27
"""Slaney's scale: 66.7 Hz a mel up to 1 kHz, from there 27 mels for each factor of 6.4 (Auditory Toolbox, 1998)."""


def _slaney_mel(hertz: Tensor) -> Tensor:
    linear = hertz / _LINEAR
    logarithmic = _BREAK / _LINEAR + (hertz.clamp(min=_BREAK) / _BREAK).log() / _STEP
    return torch.where(hertz < _BREAK, linear, logarithmic)


def _slaney_hertz(mel: Tensor) -> Tensor:
    knee = _BREAK / _LINEAR
    linear = mel * _LINEAR
    logarithmic = _BREAK * ((mel.clamp(min=knee) - knee) * _STEP).exp()
    return torch.where(mel < knee, linear, logarithmic)


def _htk_mel(hertz: Tensor) -> Tensor:
    return 2595 * (1 + hertz / 700).log10()


def _htk_hertz(mel: Tensor) -> Tensor:
    return 700 * (10 ** (mel / 2595) - 1)


SCALES = {"slaney": (_slaney_mel, _slaney_hertz), "htk": (_htk_mel, _htk_hertz)}
"""From hertz to mel and back, by the name of the scale."""
