"""Which number format the network computes in, and why. Losses and optimiser states are always in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch

from likewise.errors import LikewiseError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["auto", "32", "bf16", "16"]


class Chosen(NamedTuple):
    """A format by Fabric's name, and the reason for it."""

    fabric: Literal["32-true", "bf16-mixed", "16-mixed"]
    reason: str


def choose_precision(wanted: Precision, device: torch.device) -> Chosen:
    """The format for a device: ``auto`` takes bfloat16 where it is faster.

    On CPUs that takes AMX, which multiplies it several times faster than float32. Vector units alone (AVX512-bf16) do
    not pay: on two such cores a step of ResNet-18 took 20 images/s in bfloat16 against 29 in float32, and one of
    ``conv4`` 1,810 against 2,450 (``benchmarks/training_step.py``).
    """
    if wanted == "32":
        return Chosen("32-true", "given by --precision")
    if wanted == "bf16":
        return Chosen("bf16-mixed", "given by --precision")
    if wanted == "16":
        if device.type != "cuda":
            raise LikewiseError(
                "--precision 16 needs a CUDA GPU. On this device choose auto, bf16 or 32."
            )
        return Chosen("16-mixed", "given by --precision")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Chosen("bf16-mixed", f"{torch.cuda.get_device_name(device)} has bfloat16 units")
        return Chosen("32-true", f"{torch.cuda.get_device_name(device)} has no bfloat16 units")
    if device.type == "cpu":
        if cpu_multiplies_bfloat16():
            return Chosen("bf16-mixed", "the CPU has AMX")
        return Chosen("32-true", "the CPU has no matrix units for bfloat16")
    return Chosen("32-true", f"not measured on {device.type}")


def precision_of(fabric: Fabric) -> str:
    """The format that a Fabric was made with, by its own name; Fabric keeps it in its plugin alone."""
    return str(fabric._precision.precision)


def cpu_multiplies_bfloat16() -> bool:
    """Whether the CPU has AMX. PyTorch's answer, which knows the operating system's permission too."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
