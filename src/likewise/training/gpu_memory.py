"""What a step takes of a GPU's memory."""

from __future__ import annotations

from typing import NamedTuple

import torch

from likewise.errors import LikewiseError


class PeakMemory(NamedTuple):
    """Bytes of a GPU's memory."""

    used: int
    """allocated at the peak"""
    total: int
    """what the GPU has"""


def forget_peak_memory(device: torch.device) -> None:
    """Let a GPU measure the memory of what follows."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> PeakMemory | None:
    """The peak since `forget_peak_memory`; None on a CPU, which does not tell."""
    if device.type != "cuda":
        return None
    return PeakMemory(
        torch.cuda.max_memory_allocated(device),
        torch.cuda.get_device_properties(device).total_memory,
    )


def out_of_memory_error(device: torch.device) -> LikewiseError:
    """What to do where a step does not fit the device's memory."""
    total = torch.cuda.get_device_properties(device).total_memory / 1e9
    return LikewiseError(
        f"A step does not fit the {total:.0f} GB of {device}. Give --microbatch auto, which finds how many images fit "
        f"at a time and gives the same gradient, or a smaller --batch-size or --image-size."
    )
