"""The first steps of a run in one or several processes, and the numbers that must not depend on how many."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessException, start_processes

from likewise.collectives import rank, world_size
from likewise.errors import LikewiseError
from likewise.methods import Method, Recipe
from likewise.randomness import generator
from likewise.runs.given import GivenObjects
from likewise.runs.moved_run import has_dropout, without_dropout
from likewise.runs.networks import build_nets, start_classifier, starts_from_prototypes
from likewise.runs.prepare import prepare
from likewise.runs.prepared import Prepared
from likewise.runs.settings import TrainSettings
from likewise.runs.train_run import online_scores, with_view_streams
from likewise.training import Callback, LoopSettings
from likewise.training import train as train_networks
from likewise.training.callbacks import CallbackState
from likewise.training.launch import launch
from likewise.training.matmul_precision import matmul_precision

ROUNDING = 1e-6
"""Relative size of the change of weights that stands for rounding: ten times the last digit of a float32."""


class Request(NamedTuple):
    """What is trained."""

    data: Any
    settings: TrainSettings
    method: str | Method
    recipe: Recipe | None
    given: GivenObjects
    steps: int


class FirstSteps(NamedTuple):
    """What some processes found together."""

    losses: list[float]
    """of each step, over the whole batch"""
    gradients: dict[str, Tensor]
    """of the first step, by the parameter's name"""
    start: dict[str, Tensor]
    """parameters and statistics before the first step"""
    end: dict[str, Tensor]
    """the same after the last step"""
    scores: dict[str, float]
    """online scores after the last step; none without labels"""
    device: str
    precision: str


class _Recorder(Callback):
    """Keeps losses, and the gradients of the first step."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.gradients: dict[str, Tensor] = {}

    def on_step(self, state: CallbackState) -> None:
        """Read the newest step."""
        if not self.losses:
            named = state.nets.named_parameters()
            self.gradients = {
                name: _copy(value.grad) for name, value in named if value.grad is not None
            }
        self.losses.append(state.loss)


def prepare_steps(request: Request) -> Prepared:
    """The run of which the first steps are taken."""
    return prepare(request.data, request.settings, request.method, request.recipe, request.given)


def take_steps(prepared: Prepared, steps: int, rounding: int = 0) -> FirstSteps:
    """The first steps of a run, by the processes that exist or by this one alone. Nothing is written.

    Args:
        prepared: the run.
        steps: how many.
        rounding: seed of a change of the weights that is as small as that by sums in another order; 0: none.
    """
    settings = prepared.settings
    nets = build_nets(prepared)
    without_dropout(nets)
    if rounding:
        _round_weights(nets, rounding)
    fabric, precision = launch(settings.device, world_size_wanted(), settings.precision)
    if starts_from_prototypes(prepared, nets):
        start_classifier(prepared, nets, fabric.device)
    start, recorder = _values(nets), _Recorder()
    loader = with_view_streams(prepared, nets, prepared.loader(rank(), world_size()))
    plan = _plan(prepared, steps)
    with matmul_precision(settings.matmul_precision):
        train_networks(
            fabric, prepared.method, nets, loader, prepared.recipe, plan, callbacks=[recorder]
        )
    scores = dict(online_scores(prepared, fabric.device)(nets)) if fabric.is_global_zero else {}
    numbers = {name: float(value) for name, value in scores.items()}
    device = str(fabric.device)
    return FirstSteps(
        recorder.losses, recorder.gradients, start, _values(nets), numbers, device, precision.fabric
    )


@torch.no_grad()
def _round_weights(nets: nn.Module, seed: int) -> None:
    draw = generator("rounding", seed)
    for parameter in nets.parameters():
        parameter.mul_(1 + ROUNDING * torch.randn(parameter.shape, generator=draw).to(parameter))


def take_steps_by_processes(request: Request, processes: int, folder: Path) -> FirstSteps:
    """The same by several new processes of this machine.

    Args:
        request: what is trained.
        processes: how many.
        folder: an empty one, for what they find.

    Raises:
        LikewiseError: one of them could not go on, with its reason.
    """
    arguments = (request, processes, _free_port(), folder)
    try:
        start_processes(_one_of_several, arguments, nprocs=processes, start_method="spawn")
    except ProcessException as error:
        said = sorted(folder.glob("*.error"))
        reason = said[0].read_text() if said else str(error).strip().splitlines()[-1]
        raise LikewiseError(
            f"{processes} processes could not take these steps: {reason}"
        ) from error
    found = torch.load(folder / "found.pt", weights_only=True)
    return FirstSteps(**found)


def world_size_wanted() -> int:
    """Processes of this run, as `_one_of_several` has set it; 1 where nothing has."""
    return int(os.environ.get("WORLD_SIZE", 1))


def _one_of_several(at: int, request: Request, processes: int, port: int, folder: Path) -> None:
    """What each of several processes does; the first stores what they found."""
    torch.set_num_threads(max((os.cpu_count() or 1) // processes, 1))
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    os.environ |= {"LOCAL_RANK": str(at), "RANK": str(at), "WORLD_SIZE": str(processes)}
    try:
        found = take_steps(prepare_steps(request), request.steps)
    except LikewiseError as error:
        (folder / f"{at}.error").write_text(str(error))
        raise
    if at == 0:
        torch.save(found._asdict(), folder / "found.pt")
    torch.distributed.destroy_process_group()


def _plan(prepared: Prepared, steps: int) -> LoopSettings:
    settings = prepared.settings
    # A device's microbatch is N times smaller on N devices: so many rows make up a microbatch of the whole batch.
    parts = settings.microbatch if isinstance(settings.microbatch, int) else None
    return LoopSettings(
        steps,
        settings.seed,
        microbatch=None if parts is None else max(parts // world_size(), 1),
        activation_checkpointing=settings.activation_checkpointing,
        clip_grad_norm=settings.clip_grad_norm,
        accumulate_grad_batches=settings.accumulate_grad_batches,
        model_ema_decay=settings.model_ema_decay,
        cuda_graph="off",
    )


def _values(nets: nn.Module) -> dict[str, Tensor]:
    floats = {name: value for name, value in nets.state_dict().items() if value.is_floating_point()}
    return {name: _copy(value) for name, value in floats.items()}


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", torch.float64, copy=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_divisible(request: Request, devices: int) -> tuple[Prepared, tuple[str, ...]]:
    """The run, prepared here so that what cannot be used is refused before processes start; and what is left out.

    Raises:
        LikewiseError: something cannot be used, or the batch or the microbatch cannot be cut into so many parts.
    """
    prepared = prepare_steps(request)
    prepared.loader(0, devices)
    microbatch = prepared.settings.microbatch
    if isinstance(microbatch, int) and microbatch % devices:
        raise LikewiseError(
            f"--microbatch {microbatch} was given: here it is of one process, and cannot be cut into {devices} parts. "
            f"Choose a multiple of {devices}."
        )
    left_out = []
    if has_dropout(build_nets(prepared)):
        left_out.append("Left out: dropout, which draws other random numbers in each process.")
    if request.given.views is not None:
        left_out.append(
            "A view of your own is equal if its random numbers come from PyTorch, NumPy or random."
        )
    return prepared, tuple(left_out)
