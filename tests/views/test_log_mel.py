from __future__ import annotations

import math

import pytest
import torch

from likewise.errors import LikewiseError
from likewise.views.audio.log_mel import FLOOR, LogMel, cepstrum, mel_filters


def naive_htk_filter(
    band: int, bands: int, bin_: int, transform: int, rate: int, low: float, high: float
) -> float:
    """One weight of one triangle, by the definition."""

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    step = (mel(high) - mel(low)) / (bands + 1)
    left, middle, right = (
        700 * (10 ** ((mel(low) + (band + k) * step) / 2595) - 1) for k in range(3)
    )
    hertz = bin_ * rate / transform
    if hertz <= left or hertz >= right:
        return 0.0
    return (
        (hertz - left) / (middle - left) if hertz <= middle else (right - hertz) / (right - middle)
    )


def test_htk_filters_are_the_triangles_of_the_definition():
    filters = mel_filters(10, 64, 8000, 100.0, 3500.0, "htk")
    for band in range(10):
        for bin_ in range(33):
            assert float(filters[band, bin_]) == pytest.approx(
                naive_htk_filter(band, 10, bin_, 64, 8000, 100.0, 3500.0), abs=1e-6
            )


def test_slaney_filters_enclose_equal_areas_and_are_linear_up_to_1_khz():
    filters = mel_filters(40, 4096, 16_000, 0.0, 8000.0, "slaney").double()
    areas = filters.sum(dim=1) * 16_000 / 4096
    assert torch.allclose(areas, torch.ones(40, dtype=torch.float64), atol=0.02)
    peaks = filters.argmax(dim=1) * 16_000 / 4096
    low, high = peaks[peaks < 950], peaks[peaks > 1200]
    # Evenly spaced in Hz.
    assert torch.allclose(low.diff(), low.diff().mean().expand(len(low) - 1), atol=5)
    ratios = high[1:] / high[:-1]
    assert float(ratios.std()) < 0.005  # evenly spaced in log Hz


def test_values_are_those_of_a_sum_over_a_window():
    """One instant of one band, by a Fourier sum written out."""
    generator = torch.Generator().manual_seed(0)
    sound = torch.rand(1, 2000, generator=generator) - 0.5
    rule = LogMel(
        rate=8000, bands=12, window=100, hop=40, transform=128, low=50, high=3900, standardise=False
    )
    instant, band = 20, 5
    centre, energy = instant * 40, 0.0
    weights = mel_filters(12, 128, 8000, 50.0, 3900.0, "slaney")[band]
    for bin_ in range(65):
        real = imaginary = 0.0
        for n in range(100):
            value = float(sound[0, centre - 50 + n]) * (0.5 - 0.5 * math.cos(2 * math.pi * n / 100))
            real += value * math.cos(2 * math.pi * bin_ * n / 128)
            imaginary += value * math.sin(2 * math.pi * bin_ * n / 128)
        energy += float(weights[bin_]) * (real**2 + imaginary**2)
    assert float(rule(sound)[0, band, instant]) == pytest.approx(math.log(energy), abs=1e-3)


def test_a_tone_is_loudest_in_its_band():
    rule = LogMel(standardise=False)
    tone = 0.5 * torch.sin(torch.arange(16_000) * 2 * math.pi * 1000 / 16_000)
    logged = rule(tone[None])[0]
    assert logged.shape == (80, rule.frames(16_000)) == (80, 101)
    assert int(logged.mean(dim=1).argmax()) == int(
        mel_filters(80, 512, 16_000, 20.0, 7600.0, "slaney")[:, 32].argmax()
    )


def test_silence_is_zero_and_a_clip_is_standardised():
    logged = LogMel()(torch.cat([torch.zeros(1, 8000), torch.randn(1, 8000)]))
    assert not logged[0].any()
    assert float(logged[1].mean()) == pytest.approx(0, abs=1e-4) and float(
        logged[1].std()
    ) == pytest.approx(1, abs=1e-3)
    assert float(LogMel(standardise=False)(torch.zeros(1, 8000)).max()) == pytest.approx(
        math.log(FLOOR)
    )


def test_a_sound_shorter_than_a_window_has_one_instant():
    assert LogMel()(torch.randn(2, 100)).shape == (2, 80, 1)


def test_the_cosine_transform_is_orthonormal():
    logged = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(1))
    whole = cepstrum(logged, 8)
    assert torch.allclose(whole.square().sum(dim=1), logged.square().sum(dim=1), atol=1e-4)
    naive = sum(
        float(logged[0, m, 2]) * math.cos(math.pi / 8 * 3 * (m + 0.5)) for m in range(8)
    ) * math.sqrt(2 / 8)
    assert float(whole[0, 3, 2]) == pytest.approx(naive, abs=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"high": 9000.0}, {"low": 8000.0}, {"window": 600}, {"bands": 0}]
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(LikewiseError):
        LogMel(**wrong)
