"""Processes that were started outside likewise, by torchrun or by SLURM's srun."""

from __future__ import annotations

import os
from typing import NamedTuple

from likewise.errors import LikewiseError

INTERACTIVE = ("bash", "interactive")
"""Names of SLURM jobs that are a shell, in which a command is one process; as Lightning Fabric has them."""


class StartedProcesses(NamedTuple):
    """The processes of this run that exist already."""

    by: str
    """what started them: torchrun, srun, or the script itself, where an earlier call in it had several devices"""
    total: int
    """on all nodes together"""
    nodes: int
    """machines that they run on"""

    @property
    def per_node(self) -> int:
        """Processes on each machine."""
        return self.total // self.nodes


def started_processes() -> StartedProcesses | None:
    """The processes that torchrun, srun or an earlier call started; None where this process is alone.

    Raises:
        LikewiseError: SLURM has tasks that were not started, or not as many on each node.
    """
    count = int(os.environ.get("WORLD_SIZE", 1))
    if "TORCHELASTIC_RUN_ID" in os.environ and count > 1:
        return StartedProcesses(
            "torchrun", count, count // int(os.environ.get("LOCAL_WORLD_SIZE", count))
        )
    if in_slurm_task():
        tasks = int(os.environ["SLURM_NTASKS"])
        return _slurm_tasks(tasks) if tasks > 1 else None
    return StartedProcesses("this script", count, 1) if count > 1 else None


def in_slurm_task() -> bool:
    """Whether this process is one that srun started, or that a batch script of SLURM runs."""
    return "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in INTERACTIVE


def _slurm_tasks(tasks: int) -> StartedProcesses:
    nodes = int(os.environ.get("SLURM_NNODES", 1))
    if "SLURM_PROCID" not in os.environ:
        raise LikewiseError(
            f"SLURM was asked for {tasks} tasks, but only one was started: put srun before likewise in the batch "
            f"script."
        )
    if tasks % nodes:
        raise LikewiseError(
            f"SLURM started {tasks} tasks on {nodes} nodes, which is not as many on each. Give --nodes and "
            f"--ntasks-per-node in the batch script, and not --ntasks."
        )
    # Fabric needs it; --ntasks does not set it
    os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(tasks // nodes))
    return StartedProcesses("srun", tasks, nodes)
