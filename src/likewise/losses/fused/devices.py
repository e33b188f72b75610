"""On which devices the kernels of losses run, and which formats they read."""

from __future__ import annotations

import importlib.util
import math
import os

import torch
from torch import Tensor

from likewise.gpu_kernels import are_on, kernels, runs_on
from likewise.losses.waiting import transformed

FORMATS = (torch.float32, torch.bfloat16, torch.float16)
"""What the kernels of all losses read; float64 is for other ways: it would leave the tensor cores."""

OLDEST_GPU = (8, 0)
"""Compute capability (Ampere)."""

LOG2E = 1 / math.log(2)


def readable(*tensors: Tensor, temperature: float | Tensor = 1.0) -> bool:
    """Whether the losses' kernels run on the device of these tensors and read their formats, whatever the shapes.

    A temperature is a number above 0, or a tensor of one number.
    """
    if isinstance(temperature, Tensor):
        if temperature.numel() != 1:
            return False
        tensors = (*tensors, temperature)
    elif not temperature > 0:
        return False
    device = tensors[0].device
    if not run_on(device):
        return False
    return all(each.dtype in FORMATS and each.device == device for each in tensors)


def run_on(device: torch.device) -> bool:
    """Whether the losses' kernels run on a device."""
    if transformed():
        return False
    if device.type == "cpu":
        return interpreted() and are_on()
    return runs_on(device, OLDEST_GPU)


def interpreted() -> bool:
    """Whether the kernels run through Triton's interpreter, on the CPU."""
    if os.environ.get("TRITON_INTERPRET", "0") == "0" or importlib.util.find_spec("triton") is None:
        return False
    return bool(kernels("losses.fused.kernels.blocks").INTERPRETED.value)
