"""Processes of one group, each a rank, forked from a server that has imported for all of them."""

import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.multiprocessing as multiprocessing

from likewise.training.fabric_import import load_fabric

load_fabric()  # without torchmetrics, which takes two seconds

IMPORTED = [
    "ranks",
    "likewise.runs.api",
    "likewise.training",
    "pytest",
    "sklearn",
    "timm",
    "torch._dynamo",
    "torch.distributed.fsdp",
]
"""By the server: what ranks need, much of which likewise imports when it is needed."""

needs_gloo = pytest.mark.skipif(
    sys.platform == "win32", reason="gloo over loopback is not set up on Windows"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def become_rank(rank: int, port: int) -> None:
    """Tell Fabric which rank of one machine this process is, as torchrun does."""
    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
    }


def results_of_ranks(function: Callable[..., None], ranks: int, *arguments: Any) -> dict:
    """What ``function(rank, port, *arguments, results)`` puts into ``results``, in each of several processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    with context.Manager() as manager:
        results = manager.dict()
        started = multiprocessing.start_processes(
            function,
            (free_port(), *arguments, results),
            nprocs=ranks,
            start_method="forkserver",
            join=False,
        )
        wait_for_ranks(started)
        return dict(results)


def wait_for_ranks(started: multiprocessing.ProcessContext, seconds: float = 600) -> None:
    """Until all of them have ended; raises what one of them raised, and ends those that hang."""
    end = time.monotonic() + seconds
    while not started.join(timeout=max(0.0, end - time.monotonic())):
        if time.monotonic() >= end:
            for process in started.processes:
                process.kill()
            raise TimeoutError(f"the ranks were not done within {seconds} s")
