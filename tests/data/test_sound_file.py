"""Sound from files: what was written is read, at the rate asked for, in one channel."""

import wave

import numpy as np
import pytest

from likewise.data.video.sound_file import read_sound
from likewise.errors import LikewiseError


def write_wav(path, samples, rate, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def tone(seconds, rate, hertz=440.0):
    return np.rint(9000 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate))


def test_a_file_at_our_rate_is_read_bit_for_bit(tmp_path):
    samples = tone(0.7, 16_000)
    assert np.array_equal(
        read_sound(write_wav(tmp_path / "a.wav", samples, 16_000)).numpy(), samples
    )


def test_another_rate_and_two_channels_become_ours(tmp_path):
    both = np.repeat(tone(1.0, 44_100), 2)
    found = read_sound(write_wav(tmp_path / "a.wav", both, 44_100, 2)).numpy().astype(float)
    assert len(found) == pytest.approx(16_000, abs=40)
    heard = np.abs(np.fft.rfft(found)).argmax() * 16_000 / len(found)
    assert heard == pytest.approx(440, abs=2)


def test_a_file_without_sound_is_refused_with_its_name(tmp_path):
    with pytest.raises(LikewiseError, match=r"gone\.wav"):
        read_sound(tmp_path / "gone.wav")
    text = tmp_path / "words.wav"
    text.write_text("not a sound")
    with pytest.raises(LikewiseError, match=r"words\.wav"):
        read_sound(text)
    with pytest.raises(LikewiseError, match=r"empty\.wav"):
        read_sound(write_wav(tmp_path / "empty.wav", np.zeros(0), 16_000))
