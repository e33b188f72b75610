"""Whether several processes are one: the same first steps by one and by N, on the user's own data and settings."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from likewise.counts import amount
from likewise.errors import LikewiseError
from likewise.methods import Method, Recipe, method_name
from likewise.randomness import restored_rng
from likewise.runs.first_steps import (
    FirstSteps,
    Request,
    require_divisible,
    take_steps,
    take_steps_by_processes,
)
from likewise.runs.given import NOTHING_GIVEN, GivenObjects
from likewise.runs.settings import TrainSettings
from likewise.training.processes import started_processes

STEPS = 3
TOLERANCES = {"loss": 1e-4, "gradient": 1e-3, "weights": 1e-2}
"""Largest relative difference in float32, by the beginning of a quantity's name. Sums are added in another order: that
is about 1e-6 of a gradient, more of the weights where an optimiser divides small gradients by their own size."""
HALF_PRECISION = 50.0
"""How many times as much bfloat16 and float16 may differ."""
SCORE = 0.02
"""Largest difference of a score: a few images that lie between two classes."""


ROUNDINGS = (1, 2, 3)
"""Seeds of the changes of the weights by rounding, which are tried where something differs."""
ROUNDING_FACTOR = 4.0
"""How many times as much as such a change makes processes may differ."""
LARGEST_BY_ROUNDING = 0.02
"""A difference above this is none of rounding, whatever rounding makes."""


class Compared(NamedTuple):
    """One quantity of one process and of several."""

    name: str
    difference: float
    """relative to the size of the gradient, to the way that the weights have gone, to the loss; of scores absolute"""
    tolerance: float

    @property
    def is_equal(self) -> bool:
        """Whether the two agree; NaN does not."""
        return self.difference <= self.tolerance


@dataclasses.dataclass(frozen=True)
class Verification:
    """What came of a comparison."""

    devices: int
    device: str
    precision: str
    batch_size: int
    steps: int
    compared: tuple[Compared, ...]
    unequal_by_nature: tuple[str, ...]
    """what was left out because it cannot be equal"""

    @property
    def is_equal(self) -> bool:
        """Whether everything that was compared agrees."""
        return all(each.is_equal for each in self.compared)


@restored_rng()
def run_verification(
    data: object,
    settings: TrainSettings,
    method: str | Method,
    recipe: Recipe | None,
    given: GivenObjects = NOTHING_GIVEN,
    steps: int = STEPS,
) -> Verification:
    """Take the first steps of a run in one process and in ``settings.devices`` ones, and compare. Writes nothing.

    Both have the same global batch. Dropout is switched off.

    Raises:
        LikewiseError: fewer than two devices, or more than there are, or a run that cannot be started.
    """
    devices = settings.devices or 2
    _require_devices(devices, settings, steps)
    alone = dataclasses.replace(
        settings, out=None, resume=False, overwrite=False, devices=0, loggers=()
    )
    request = Request(data, alone, method, recipe, given, steps)
    prepared, left_out = require_divisible(request, devices)
    request = request._replace(method=prepared.method, recipe=prepared.recipe)
    one = take_steps(prepared, steps)
    with tempfile.TemporaryDirectory() as folder:
        several = take_steps_by_processes(request, devices, Path(folder))
    compared = tuple(compare(one, several))
    if not all(each.is_equal for each in compared):
        rounded = [
            tuple(compare(one, take_steps(prepared, steps, rounding=seed))) for seed in ROUNDINGS
        ]
        compared = with_rounding(compared, rounded)
    return Verification(
        devices, one.device, one.precision, prepared.batch_size, steps, compared, left_out
    )


def with_rounding(
    compared: Sequence[Compared], rounded: Sequence[Sequence[Compared]]
) -> tuple[Compared, ...]:
    """What was compared, with wider tolerances where rounding of the weights makes as much difference.

    A ReLU or a maximum that lies within rounding of a tie turns a change of 1e-6 into one of 1e-3 of the gradient.

    Args:
        compared: one process and several.
        rounded: one process and itself with weights that were changed by rounding, several times.
    """
    found = []
    for each, same in zip(compared, zip(*rounded, strict=True), strict=True):
        noise = max(other.difference for other in same)
        allowed = min(ROUNDING_FACTOR * noise, LARGEST_BY_ROUNDING)
        found.append(each._replace(tolerance=allowed) if each.tolerance < allowed else each)
    return tuple(found)


def _require_devices(devices: int, settings: TrainSettings, steps: int) -> None:
    if started_processes() is not None:
        raise LikewiseError(
            "verify starts its processes itself: call it without torchrun and without srun."
        )
    if settings.strategy != "ddp":
        raise LikewiseError(
            f"--strategy {settings.strategy} was given; verify compares ddp with one process."
        )
    if devices < 2:
        raise LikewiseError(
            f"--devices {devices} was given; one process is compared with several: give 2 or more."
        )
    if steps < 1:
        raise LikewiseError(f"first_steps={steps} was given; give 1 or more, for instance 3.")
    gpus = torch.cuda.device_count() if settings.device in ("auto", "cuda") else 0
    if gpus and gpus < devices:
        raise LikewiseError(
            f"--devices {devices} was given, but there are {gpus} GPUs here. Compare processes on the CPU with "
            f"--device cpu."
        )


def compare(one: FirstSteps, several: FirstSteps) -> Iterator[Compared]:
    """The differences, network by network."""
    looser = 1.0 if one.precision.startswith("32") else HALF_PRECISION
    for each in (
        _losses(one, several),
        *_gradients(one, several),
        *_weights(one, several),
        *_scores(one, several),
    ):
        yield each._replace(tolerance=looser * each.tolerance)


def _losses(one: FirstSteps, several: FirstSteps) -> Compared:
    pairs = zip(one.losses, several.losses, strict=True)
    differences = [abs(other - own) / max(abs(own), 1e-3) for own, other in pairs]
    largest = float(torch.tensor(differences).max())  # NaN where one is
    return Compared(f"loss of {amount(len(one.losses), 'step')}", largest, TOLERANCES["loss"])


def _gradients(one: FirstSteps, several: FirstSteps) -> Iterator[Compared]:
    gradients, others = _by_network(one.gradients), _by_network(several.gradients)
    whole = sum(float(gradient.square().sum()) for gradient in gradients.values()) ** 0.5
    for network in sorted(gradients.keys() | others.keys()):
        difference = float("inf")  # where one of the two has no gradient at all
        if network in gradients and network in others:
            scale = max(float(gradients[network].norm()), 1e-6 * whole, 1e-12)
            difference = float((others[network] - gradients[network]).norm()) / scale
        yield Compared(f"gradient of the {network}, step 1", difference, TOLERANCES["gradient"])


def _weights(one: FirstSteps, several: FirstSteps) -> Iterator[Compared]:
    start, end = _by_network(one.start), _by_network(one.end)
    other = _by_network(several.end)
    for network in end:
        way = float((end[network] - start[network]).norm())
        difference = float((other[network] - end[network]).norm())
        if difference:
            difference /= max(way, 1e-12)
        yield Compared(
            f"weights and statistics of the {network}", difference, TOLERANCES["weights"]
        )


def _scores(one: FirstSteps, several: FirstSteps) -> Iterator[Compared]:
    for name, value in one.scores.items():
        scale = 1.0 if name.endswith("_top1") else max(abs(value), 1.0)
        yield Compared(name, abs(several.scores[name] - value) / scale, SCORE)


def _by_network(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All numbers of each network as one vector."""
    parts: dict[str, list[Tensor]] = {}
    for name, value in values.items():
        parts.setdefault(name.partition(".")[0], []).append(value.flatten())
    return {network: torch.cat(found) for network, found in parts.items()}


def show(found: Verification, method: str | Method, console: Console) -> None:
    """One screen: what was compared, what is equal, what cannot be, and what that means."""
    name = method if isinstance(method, str) else method_name(method)
    console.print(
        f"{name}, {found.steps} steps of {found.batch_size} images, {found.device} in {found.precision}: "
        f"1 process and {found.devices}."
    )
    table = Table("quantity", "difference", "allowed", "")
    for each in found.compared:
        verdict = "equal" if each.is_equal else "[red]differs[/red]"
        table.add_row(each.name, f"{each.difference:.1e}", f"{each.tolerance:.0e}", verdict)
    console.print(table)
    for line in (*ALWAYS, *found.unequal_by_nature):
        console.print(line)
    ending = "are one" if found.is_equal else "are NOT one: do not compare their runs"
    console.print(f"[bold]{found.devices} processes {ending}.[/bold]")


ALWAYS: Sequence[str] = (
    "Equal by construction: the global batch, its order, the views of each image, batch-norm statistics over all rows.",
    "Not equal to the last bit: sums are added in another order.",
    "More is allowed where a change of the weights by rounding makes as much difference in one process.",
)
