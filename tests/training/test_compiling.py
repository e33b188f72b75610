"""When the encoder is compiled."""

import pytest
import torch

from likewise.training.compiling import STEPS_THAT_PAY, compiles


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
