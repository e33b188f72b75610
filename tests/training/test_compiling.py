"""When the encoder is compiled, and where the result is kept."""

import os
from pathlib import Path

import pytest
import torch

from likewise.encoders import EncoderSettings, build_encoder
from likewise.training.compiling import STEPS_THAT_PAY, VARIABLE, compile_encoder, compiles


@pytest.mark.parametrize(
    ("wanted", "device", "steps", "expected"),
    [
        ("on", "cpu", 1, True),
        ("off", "cuda", 10 * STEPS_THAT_PAY, False),
        ("auto", "cpu", 10 * STEPS_THAT_PAY, False),
        ("auto", "cuda", STEPS_THAT_PAY - 1, False),
        ("auto", "cuda", STEPS_THAT_PAY, True),
    ],
)
def test_auto_compiles_long_runs_on_a_gpu(wanted, device, steps, expected):
    assert compiles(wanted, torch.device(device), steps) == expected


@pytest.fixture
def compiled_in(monkeypatch):
    """Where compiled code is kept, for a home and a setting of PyTorch's variable."""

    def folder(home, named=None):
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.delenv(VARIABLE, raising=False)
        if named is not None:
            monkeypatch.setenv(VARIABLE, named)
        compile_encoder(build_encoder(EncoderSettings("conv4", 12, (0.4,), (0.3,))), "on")
        return os.environ.get(VARIABLE)

    return folder


def test_compiled_code_is_kept_for_later_runs_where_one_may_write(compiled_in, tmp_path):
    kept = compiled_in(tmp_path)
    assert Path(kept).is_dir() and Path(kept).is_relative_to(tmp_path)
    assert compiled_in(tmp_path, named="/elsewhere") == "/elsewhere"
    (tmp_path / "file").touch()
    elsewhere = compiled_in(tmp_path / "file")
    assert elsewhere is None or "file" not in elsewhere
