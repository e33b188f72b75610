"""Random numbers that a step draws on the host, which a CUDA graph would repeat forever."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from likewise.randomness import random_state
from likewise.training.step_numbers import NotCapturable


@contextmanager
def refusing_host_draws(device: torch.device) -> Iterator[None]:
    """What runs while the context is open may draw random numbers on a device alone.

    A network that leaves out layers by `random.random`, for instance, would leave out the same ones in each replay.

    Raises:
        NotCapturable: one of the generators moved.
    """
    before = _states(device)
    yield
    after = _states(device)
    moved = [name for name, state in before.items() if after[name] != state]
    if moved:
        raise NotCapturable(
            f"it draws random numbers on the host, by {' and '.join(moved)}, which a graph would repeat in each step; "
            f"draw them on the device, for instance torch.rand(1, device=x.device)"
        )


def _states(device: torch.device) -> dict[str, Any]:
    """Of the generators that every program shares, by what draws from them."""
    of_numpy: Any = np.random.get_state(legacy=True)
    states: dict[str, Any] = {
        "random": random.getstate(),
        "numpy.random": (of_numpy[1].tobytes(), *of_numpy[2:]),
    }
    if device.type != "cpu":
        states["torch on the CPU"] = random_state(torch.device("cpu"))
    return states
