"""What a run that goes on with another number of processes keeps, and what it cannot keep."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from likewise.json_files import read_json
from likewise.run_folder import RunFolder


def moved_line(run: RunFolder, processes: int, networks: nn.Module) -> str:
    """What stays equal and what does not where a run goes on with more or fewer processes; else nothing.

    Args:
        run: a folder that may hold the run already.
        processes: of this call.
        networks: that are trained.
    """
    if not run.environment.exists():
        return ""
    before = read_json(run.environment).get("devices", processes)
    if before == processes:
        return ""
    said = (
        f"Continues on {processes} processes; it ran on {before}. The batches, their order, the views of each image "
        f"and the batch-norm statistics stay the same. Sums are added in another order, so the weights agree to "
        f"rounding, not bit for bit."
    )
    if has_dropout(networks):
        said += (
            " Not equal: dropout, which draws other random numbers on another number of processes."
        )
    return said


def has_dropout(networks: nn.Module) -> bool:
    """Whether a network leaves out activations or paths at random while it trains."""
    return any(_share(module) > 0 for module in networks.modules())


def without_dropout(networks: nn.Module) -> None:
    """Let networks leave out nothing while they train."""
    for module in networks.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
        elif _share(module):
            module.drop_prob = 0.0  # type: ignore[assignment]


def _share(module: nn.Module) -> float:
    if isinstance(module, _DropoutNd):
        return module.p
    return float(getattr(module, "drop_prob", None) or 0)  # timm's stochastic depth
