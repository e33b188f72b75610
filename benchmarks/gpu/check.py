"""Is all here that the other sections need, and does it work? Packages, a kernel of each family, a captured step.

What Triton compiles here stays on the machine, for the sections that follow.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from gpu import batch_norm, losses, packages, step, views
from gpu.section import Clock, Result, Section, take_turns
from likewise.views.policies import simclr

FAMILIES = ("sup_con", "queue_nce", "clip_loss", "soft_nce", "info_nce", "similarity_distillation")
"""losses by their kernels; all take unit rows first"""
CLOSE = 1e-4
"""relative error of losses and gradients against float64"""


@dataclass(frozen=True)
class Sizes:
    """Those of the sections that follow; small ones try this one on a CPU."""

    images: int = 512
    keys: int = 4096
    width: int = 128
    side: int = 32
    steps: step.Sizes = field(
        default_factory=lambda: step.Sizes(images=1024, encoder="conv4", steps=6, replays=3)
    )
    map: tuple[int, int, int, int] = (64, 64, 16, 16)
    """that is normalised"""


def installed() -> Result:
    """What is missing, and versions."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "needed and missing": packages.missing(packages.NEEDED),
        "useful and missing": packages.missing(packages.USEFUL),
    }


def view(device: torch.device, sizes: Sizes) -> Result:
    """A view with blur, beside the CPU's.

    Raises:
        ValueError: they differ.
    """
    found = views.agreement(simclr(), sizes.side, device, 16)
    if found["greatest, of 255 levels"] > 1 or not found["finite"]:
        raise ValueError(found)
    return found


def loss(name: str, device: torch.device, sizes: Sizes) -> Result:
    """Loss and gradients beside float64.

    Raises:
        ValueError: they differ, or the loss failed.
    """
    case = losses.cases(device, sizes.images, sizes.keys, sizes.width)[name]
    found = losses.checked(case)
    if max(found.get("loss", 1.0), *found.get("gradients", [])) > CLOSE:
        raise ValueError(found)
    return found


def norm(device: torch.device, sizes: Sizes) -> Result:
    """Batch normalisation beside float64.

    Raises:
        ValueError: its kernels are less exact than PyTorch's layer.
    """
    found = batch_norm.error(sizes.map, "sum and relu", device)
    if not found["kernels"] < 2 * found["PyTorch"]:
        raise ValueError(found)
    return found


def captured(device: torch.device, sizes: Sizes) -> Result:
    """Steps of a small network from a graph, whose weights stay finite.

    Raises:
        ValueError: it was not captured, or went astray.
    """
    made = step.bare(device, sizes.steps)
    made.train(sizes.steps.steps)
    finite = all(bool(each.isfinite().all()) for each in made.nets.parameters())
    if made.refused or made.graph is None or not finite:
        raise ValueError(f"captured: {not made.refused}, finite: {finite}. {made.refused}")
    return {"steps": made.done, "seconds": round(made.seconds, 2)}


def run(device: torch.device, clock: Clock, sizes: Sizes | None = None) -> None:
    """Packages first; what does not work is listed at the end."""
    sizes = sizes or Sizes()
    work: dict[str, Callable[[], Any]] = {
        "installed": installed,
        "captured step": partial(captured, device, sizes),
        "view": partial(view, device, sizes),
        "batch norm": partial(norm, device, sizes),
        **{name: partial(loss, name, device, sizes) for name in FAMILIES},
    }
    try:
        take_turns("check", work, clock)
    finally:
        failed = [name for name in work if "ended" in clock.found.get(name, {})]
        unasked = [name for name in work if name not in clock.found]
        clock.found["does not work"], clock.found["not reached"] = failed, unasked
        print(f"does not work: {failed or 'nothing'}; not reached: {unasked or 'nothing'}")


SECTION = Section(run, 40.0)
