"""Where a run's numbers go: a line of JSON always, and the loggers that were asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from likewise.errors import LikewiseError
from likewise.run_folder import RunFolder

LoggerName = Literal["csv", "tensorboard", "wandb"]


def build_loggers(names: Sequence[LoggerName], folder: Path) -> list[Any]:
    """Fabric's loggers by name, each under ``logs`` in the run's folder."""
    from lightning_fabric.loggers.csv_logs import CSVLogger
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    loggers: list[Any] = []
    for name in names:
        if name == "csv":
            loggers.append(CSVLogger(folder / "logs", name="csv", version=""))
        elif name == "tensorboard":
            loggers.append(TensorBoardLogger(folder / "logs", name="tensorboard", version=""))
        else:
            loggers.append(_wandb(folder))
    return loggers


def _wandb(folder: Path) -> Any:
    try:
        from wandb.integration.lightning.fabric import WandbLogger  # type: ignore[import-not-found]
    except ImportError as error:
        raise LikewiseError("--loggers wandb needs Weights & Biases: pip install 'likewise[wandb]'.") from error
    return WandbLogger(project="likewise", save_dir=str(folder / "logs"))


class MetricLog:
    """``metrics.jsonl``, one line a call, in step with the checkpoint: a resumed run drops what came after it."""

    def __init__(self, run: RunFolder, first_step: int) -> None:
        kept = [line for line in run.metric_lines() if line["step"] <= first_step]
        run.metrics.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self._file = run.metrics.open("a")

    def write(self, line: Mapping[str, float | int | str]) -> None:
        """Add a line and hand it to the disk."""
        self._file.write(json.dumps(dict(line)) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
