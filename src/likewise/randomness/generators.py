"""PyTorch's own generators, seeded by a key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from likewise.randomness.philox import words_of


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator that is a pure function of its key (a seed, a step, the name of a stream, ...)."""
    state = np.random.SeedSequence(words_of(key)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> 1))


def seed_networks(*key: int | str) -> None:
    """Seed PyTorch's global generators, which initial weights and dropout use.

    `torch.manual_seed` does the same, and takes a quarter of a millisecond of each step for kinds of devices that are
    not there.
    """
    seed = generator(*key).initial_seed()
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.xpu.is_available():
        torch.xpu.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def random_state(device: torch.device) -> bytes:
    """Of the global generator that a device's dropout draws from; nothing while a CUDA graph is captured."""
    if device.type == "cpu":
        return torch.get_rng_state().numpy().tobytes()
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        return b""
    return torch.get_device_module(device).get_rng_state().numpy().tobytes()


@contextmanager
def restored_rng() -> Iterator[None]:
    """Afterwards PyTorch's global generators are as they were, for the program of the user's that draws from them.

    Those of a GPU that was not used before start from the seed that the program gave PyTorch, as they would have.
    """
    state, seed = torch.get_rng_state(), torch.initial_seed()
    available = [module for module in (torch.cuda, torch.xpu) if module.is_available()]
    used = {module: module.get_rng_state_all() for module in available if module.is_initialized()}
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        torch.set_rng_state(state)
        for module in available:
            if module in used:
                module.set_rng_state_all(used[module])
            else:
                module.manual_seed_all(seed)
        if mps is not None:
            torch.mps.set_rng_state(mps)
