"""Networks that a run keeps aside, and goes back to at its end where training has spoilt the newest ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from likewise.methods import Nets
from likewise.run_folder import RunFolder
from likewise.training.checkpoint import AFRESH, read_torch, write_torch


def keep(path: Path, nets: Nets | None, **values: Any) -> None:
    """Write networks and values.

    Args:
        path: one of `RunFolder`'s.
        nets: what to keep; None keeps the values alone.
        values: numbers and tensors.
    """
    content = dict(values)
    if nets is not None:
        content["nets"] = {name: tensor.cpu() for name, tensor in nets.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_torch(path, content)


def kept(path: Path) -> dict[str, Any]:
    """What `keep` wrote, on the CPU."""
    return read_torch(path, AFRESH)


def restore(path: Path, nets: Nets, run: RunFolder) -> int:
    """Load networks that were kept, and store them as those that the run ends with.

    Returns:
        the step that they are of.
    """
    content = kept(path)
    nets.load_state_dict(content["nets"])
    keep(run.restored, nets, step=content["step"])
    return content["step"]
