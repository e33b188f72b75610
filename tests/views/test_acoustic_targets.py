from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from likewise.errors import LikewiseError
from likewise.views.audio.acoustic_targets import TARGETS, acoustic_target, target_width
from likewise.views.audio.frame_targets import AudioFrameTargets, derangement, pool_steps
from likewise.views.audio.log_mel import LogMel, cepstrum

RATE, FRAME = 16_000, 640


class Column:
    """Sound in memory, as the files have it."""

    def __init__(self, sound):
        self.sound = sound

    def __len__(self):
        return len(self.sound)

    def read(self, index):
        return self.sound[index]


def tones(count=5, frames=6, seed=0):
    """int16 [N, samples]: each frame of each clip a tone of its own."""
    pitches = torch.rand(count, frames, generator=torch.Generator().manual_seed(seed)) * 3000 + 300
    time = torch.arange(FRAME) / RATE
    waves = torch.sin(2 * math.pi * pitches[:, :, None] * time) * 0.5
    return waves.flatten(1).mul(32767).round().short()


def test_spectra_have_four_steps_a_frame():
    sound = tones()[:, : 6 * FRAME].float() / 32767
    logged = LogMel(bands=20, standardise=False)(sound)[..., :24]
    torch.testing.assert_close(acoustic_target("logmel", 20)(sound), logged.mT)
    torch.testing.assert_close(acoustic_target("mfcc", 20)(sound), cepstrum(logged, 13).mT)
    assert (
        target_width(acoustic_target("logmel", 20)),
        target_width(acoustic_target("mfcc", 20)),
    ) == (20, 13)


class Strided(nn.Module):
    """A user's network."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv1d(1, 6, 400, 160, padding=199)

    def forward(self, sound):
        return self.convolution(sound[:, None]).mT


def test_a_network_of_the_users_own_from_a_file_or_by_name(tmp_path, monkeypatch):
    network, path, sound = Strided().eval(), tmp_path / "target.pt2", tones().float() / 32767
    free = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    torch.export.save(
        torch.export.export(network, (torch.rand(2, RATE),), dynamic_shapes=(free,)), path
    )
    torch.testing.assert_close(acoustic_target(str(path))(sound), network(sound))
    monkeypatch.setitem(TARGETS, "mine", network)
    assert acoustic_target("mine") is network
    assert target_width(network) == 6


def test_bad_targets_are_refused(tmp_path, monkeypatch):
    with pytest.raises(LikewiseError, match="logmel"):
        acoustic_target("logmell")
    (tmp_path / "no.pt2").write_bytes(b"nothing")
    with pytest.raises(LikewiseError, match=r"torch\.export\.save"):
        acoustic_target(str(tmp_path / "no.pt2"))
    with pytest.raises(LikewiseError, match=r"\[1, steps, F\]"):
        target_width(lambda sound: sound)
    with pytest.raises(LikewiseError, match="3 steps"):
        pool_steps(torch.zeros(1, 3, 2), 4)


@pytest.mark.parametrize("samples", [3 * FRAME * 2, 10 * FRAME // 4])
def test_steps_of_a_frame_are_averaged(samples):
    """Also where they do not go into the frames: 10 steps over 4 frames share the steps at their borders."""
    steps = torch.rand(2, samples // 160, 5)
    frames = 6 if samples == 6 * FRAME else 4
    found = pool_steps(steps, frames)
    for number in range(frames):
        first, last = number * steps.shape[1] // frames, -(-(number + 1) * steps.shape[1] // frames)
        torch.testing.assert_close(found[:, number], steps[:, first:last].mean(dim=1))


def test_each_dimension_is_standardised_on_the_frames_that_are_not_silent():
    sound = tones(30)
    sound[3:6, 2 * FRAME :] = 0  # videos that ended
    reader = AudioFrameTargets(acoustic_target("logmel", 8), 6).fitted_to(Column(sound))
    rows = reader.of(Column(sound))
    assert len(rows) == 30
    read = rows.read(torch.arange(30))
    assert read.shape == (30, 6, 8) and read.dtype == torch.float32 and not read.requires_grad
    there = torch.ones(30, 6, dtype=torch.bool)
    there[3:6, 2:] = False
    torch.testing.assert_close(read[there].mean(dim=0), torch.zeros(8), rtol=0, atol=2e-3)
    torch.testing.assert_close(
        read[there].std(dim=0, correction=0), torch.ones(8), rtol=2e-3, atol=0
    )
    raw = pool_steps(acoustic_target("logmel", 8)(sound[:1].float() / 32767), 6)
    torch.testing.assert_close(
        rows.read(torch.tensor([0])), (raw - reader.mean) / reader.std, rtol=2e-3, atol=2e-3
    )
    # Another split is standardised by the training clips' numbers.
    other = reader.of(Column(tones(4, seed=1))).read(torch.arange(4))
    assert not torch.allclose(other.mean(dim=(0, 1)), torch.zeros(8), atol=2e-3)


def test_silence_everywhere_is_refused():
    with pytest.raises(LikewiseError, match="silent"):
        AudioFrameTargets(acoustic_target("logmel", 8), 6).fitted_to(
            Column(torch.zeros(2, 6 * FRAME, dtype=torch.int16))
        )


@pytest.mark.parametrize("delay", [0, FRAME, -FRAME])
def test_delayed_sound_is_moved_to_its_frame(delay):
    """A click in frame 3 that comes so many samples late is shifted back to frame 3."""
    sound = torch.randn(1, 8 * FRAME, generator=torch.Generator().manual_seed(0)).mul(20).short()
    sound[:, 3 * FRAME + delay + 200 : 3 * FRAME + delay + 440] += 20_000
    rows = AudioFrameTargets(acoustic_target("logmel", 8), 8, delay).of(Column(sound))
    assert int(rows.read(torch.tensor([0]))[0].mean(dim=1).argmax()) == 3


def test_the_control_gives_every_clip_the_sound_of_another():
    sound = tones(9)
    reader = AudioFrameTargets(acoustic_target("logmel", 8), 6, shuffled=True)
    plain = (
        AudioFrameTargets(acoustic_target("logmel", 8), 6).of(Column(sound)).read(torch.arange(9))
    )
    shuffled = reader.of(Column(sound)).read(torch.arange(9))
    torch.testing.assert_close(shuffled, plain[derangement(9)])
    for count in (2, 9, 50):
        partner = derangement(count)
        assert (
            sorted(partner.tolist()) == list(range(count))
            and (partner != torch.arange(count)).all()
        )
