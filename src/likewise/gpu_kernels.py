"""Where our Triton kernels run, how they are loaded, and how numbers and sizes are made fit for them."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
import time
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger("likewise")

OLDEST_TRITON = (3, 3)
"""The oldest that the kernels were compiled with; it comes with PyTorch 2.7."""


def are_on() -> bool:
    """Whether Triton is there, 3.3 or later.

    ``LIKEWISE_NATIVE=0`` turns the kernels off, as it does the compiled code of CPUs.
    """
    return os.environ.get("LIKEWISE_NATIVE", "1") != "0" and _triton_version() >= OLDEST_TRITON


def runs_on(device: torch.device, oldest: tuple[int, int] = (7, 5)) -> bool:
    """Whether the kernels run there: CUDA of a compute capability or later, 7.5 (Turing) for most of them.

    AMD devices are untried, and not served.
    """
    return device.type == "cuda" and are_on() and _capability(device) >= oldest


def to_device(drawn: Tensor, device: torch.device) -> Tensor:
    """Small numbers from the CPU; the host does not wait for the copy."""
    if device.type == "cuda" and not drawn.is_cuda:
        drawn = drawn.pin_memory()
    return drawn.to(device, non_blocking=True)


def blocks(count: int, height: int) -> int:
    """Blocks of so many rows each that hold all rows."""
    return -(-count // height)


def power_of_two(number: int, least: int = 1) -> int:
    """The least power of two that is not below a number, nor below the least."""
    return max(least, 1 << (number - 1).bit_length())


@functools.cache
def kernels(module: str) -> ModuleType:
    """A module of kernels below `likewise`, imported here, since it needs Triton, and since its import takes long."""
    return importlib.import_module(f"likewise.{module}")


def launch_on(
    tensor: Tensor, kernel: Any, grid: tuple[int, ...], arguments: tuple[Any, ...], **flags: Any
) -> None:
    """Start a kernel on the device of a tensor; the log says so where the compiler took more than a second."""
    start = time.perf_counter()
    with torch.cuda.device_of(tensor):
        kernel[grid](*arguments, **flags)
    took = time.perf_counter() - start
    if took > 1 and tensor.is_cuda:  # a launch does not wait for the GPU
        log.warning(
            "Compiled a GPU kernel in %.0f s; Triton keeps it on disk for the next run.", took
        )


@functools.cache
def _capability(device: torch.device) -> tuple[int, int]:
    """(0, 0) of an AMD device."""
    return (0, 0) if torch.version.hip is not None else torch.cuda.get_device_capability(device)


@functools.cache
def _triton_version() -> tuple[int, ...]:
    """(0,) where it is not installed."""
    if importlib.util.find_spec("triton") is None:
        return (0,)
    try:
        found = version("triton")
    except PackageNotFoundError:  # PyTorch's nightly builds bring it under another name
        found = importlib.import_module("triton").__version__
    try:
        return tuple(int(part) for part in found.split(".")[:2])
    except ValueError:
        return (0,)
