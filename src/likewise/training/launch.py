"""Devices, and the environment that a run records."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from likewise import __version__
from likewise.counts import amount, span
from likewise.errors import LikewiseError
from likewise.torch_defaults import float32_matmul_precision
from likewise.training.fabric_import import load_fabric
from likewise.training.fully_sharded import Strategy, sharding_strategy
from likewise.training.logs import LoggerName, build_loggers
from likewise.training.precision import Chosen, Precision, choose_precision
from likewise.training.processes import StartedProcesses, in_slurm_task, started_processes
from likewise.training.rank_watch import RankWatch
from likewise.views.native.library import why_not

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

DeviceKind = Literal["auto", "cpu", "cuda", "mps"]


def choose_device(wanted: DeviceKind) -> torch.device:
    """The kind of device that was named, or the fastest that is present.

    Raises:
        LikewiseError: PyTorch sees no such device.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    names = [name for name, is_present in present.items() if is_present]
    if wanted == "auto":
        return torch.device(names[0])
    if wanted not in present:
        raise LikewiseError(f"--device {wanted} was given; allowed: auto, {', '.join(present)}.")
    if not present[wanted]:
        raise LikewiseError(
            f"--device {wanted} was given, but PyTorch sees no such device here. Choose one that is "
            f"present: --device {' or --device '.join(names)}."
        )
    return torch.device(wanted)


def launch(
    kind: DeviceKind = "auto",
    devices: int = 0,
    precision: Precision = "auto",
    loggers: Sequence[LoggerName] = (),
    folder: Path | None = None,
    watch: RankWatch | None = None,
    strategy: Strategy = "ddp",
) -> tuple[Fabric, Chosen]:
    """Fabric on some devices, launched, and the precision with its reason.

    Under torchrun or SLURM the ranks that they started are used. Otherwise Fabric starts the running script once more
    for each further device, so that each process is a rank and goes through the whole script.

    Args:
        kind: of device.
        devices: how many; 0: every GPU, or the processes that were started outside.
        precision: number format of the network.
        loggers: what to write besides ``metrics.jsonl``.
        folder: of the run; None writes no logs.
        watch: of the ranks, from before they are started.
        strategy: of several devices.

    Raises:
        LikewiseError: the kind of device is not there, several devices were given outside a script, or one device was
            given with a strategy of several.
    """
    Fabric = load_fabric()  # first, for it keeps torchmetrics out
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment

    for name in ("lightning_fabric", "lightning.fabric"):
        # It repeats the precision, which the first screen says.
        logging.getLogger(name).setLevel(logging.WARNING)
    device = choose_device(kind)
    chosen = choose_precision(precision, device)
    started = started_processes()
    count = devices or _default_count(device, started)
    _require_present(device, devices, count, started)
    if count > 1 and started is None:
        _require_script(count)
    fabric = Fabric(
        accelerator=device.type,
        devices=count if started is None else started.per_node,
        num_nodes=1 if started is None else started.nodes,
        strategy=_fabric_strategy(strategy, count, chosen),
        precision=chosen.fabric,
        loggers=build_loggers(loggers, folder) if folder is not None else None,
        # A single task of SLURM may start processes of its own, which Fabric takes for tasks unless it is told.
        plugins=LightningEnvironment() if started is None and in_slurm_task() else None,
    )
    if watch is None:
        fabric.launch()
        return fabric, chosen
    watch.watch(fabric, count)
    fabric.launch()
    watch.exchange_peers()
    return fabric, chosen


def _fabric_strategy(strategy: Strategy, count: int, chosen: Chosen) -> str | ModelParallelStrategy:
    """Fabric's strategy for so many devices."""
    if strategy == "fsdp" and count == 1:
        raise LikewiseError(
            "--strategy fsdp was given with one device, which holds all weights anyway. Give --devices 2 or more, or "
            "leave --strategy out."
        )
    if strategy == "fsdp":
        return sharding_strategy(count, chosen.fabric)
    return "ddp" if count > 1 else "auto"


def _default_count(device: torch.device, started: StartedProcesses | None) -> int:
    """Every process that was started, or else every GPU, or one CPU."""
    if started is not None:
        return started.total
    return torch.cuda.device_count() if device.type == "cuda" else 1


def _require_present(
    device: torch.device, devices: int, count: int, started: StartedProcesses | None
) -> None:
    """Refuse a number of devices that is not there, or is not that of the processes that were started."""
    present = torch.cuda.device_count() if device.type == "cuda" else os.cpu_count()
    most = max(present or 1, 1)
    if started is None:
        if not 0 < count <= most:
            unit = "GPU" if device.type == "cuda" else "processor core"
            there = f"there {'is' if most == 1 else 'are'} {amount(most, unit)} here"
            raise LikewiseError(
                f"--devices {devices} was given, but {there}. Choose {span(1, most)}, or leave --devices "
                f"out."
            )
        return
    if count != started.total:
        raise LikewiseError(
            f"--devices {devices} was given, but {started.by} started {started.total} processes. Leave --devices out, "
            f"or start {devices} processes."
        )
    if device.type == "cuda" and started.per_node > most:
        raise LikewiseError(
            f"{started.by} started {started.per_node} processes on this node, but each sees {most} GPU here. All must "
            f"see all GPUs of the node: with SLURM give --gres=gpu:{started.per_node} instead of --gpus-per-task."
        )


def _require_script(devices: int) -> None:
    """Refuse to start processes where there is no script that they could run, as in a notebook."""
    interactive = hasattr(sys, "ps1") or bool(sys.flags.interactive)
    if interactive or not Path(sys.argv[0]).is_file():
        raise LikewiseError(
            f"devices={devices} was given in a notebook or a Python prompt. Each device needs a process, and a process "
            f"needs a script that it can run: put the call into a file and type python FILE, or type likewise train "
            f"DATA --devices {devices}. Here give devices=1."
        )


def environment(fabric: Fabric, precision: Chosen) -> dict[str, Any]:
    """Versions, machine, device and precision, for ``environment.json``."""
    uncompiled = why_not()
    packages = ("torch", "torchvision", "timm", "lightning-fabric", "numpy", "scikit-learn")
    return {
        "likewise": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "device": str(fabric.device),
        "device_name": torch.cuda.get_device_name(fabric.device)
        if fabric.device.type == "cuda"
        else "",
        "devices": fabric.world_size,
        "views": f"PyTorch's operations: {uncompiled}" if uncompiled else "compiled, on CPUs",
        "precision": precision.fabric,
        "precision_reason": precision.reason,
        "matmul_precision": float32_matmul_precision(),
    }


def machine() -> str:
    """Cores and processor, as results name them."""
    return f"{os.cpu_count()} x {_processor()}"


def _commit() -> str:
    """The checkout's commit, with "+dirty" where files differ from it; empty where the package was installed."""
    package = Path(__file__).parents[1]

    def git(*words: str) -> str:
        command = ["git", "-C", str(package), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # Not some other project's checkout.
        git("ls-files", "--error-unmatch", str(package / "__init__.py"))
        changes = git("status", "--porcelain", "--", ".")
        return git("rev-parse", "--short", "HEAD") + ("+dirty" if changes else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
