"""Where a run's numbers go: a line of JSON always, and the loggers of ``--loggers``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from likewise.atomic_write import disk_error, write_bytes
from likewise.errors import LikewiseError
from likewise.offline import tell_clients
from likewise.run_folder import RunFolder

if TYPE_CHECKING:
    from lightning_fabric import Fabric

RESUME = "continue with --resume"

LoggerName = Literal["csv", "tensorboard", "wandb"]


@dataclass
class TrainingState:
    """The progress of a run."""

    step: int = 0
    """steps done"""
    images: int = 0
    """images that the trained encoder has forwarded, over all ranks: views and support counted, teachers not"""
    seconds: float = 0.0
    """time spent in steps, waiting for data included; evaluation is left out"""
    stopped_early: bool = False
    """whether a callback ended training before its last step"""


def build_loggers(names: Sequence[LoggerName], folder: Path) -> list[Any]:
    """Fabric's loggers by name, each under ``logs`` in the run's folder."""
    from lightning_fabric.loggers.csv_logs import CSVLogger
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    loggers: list[Any] = []
    for name in names:
        if name == "csv":
            # A file for each stretch of a run that was stopped and resumed: Fabric would delete an earlier one.
            stretches = len(list((folder / "logs" / "csv").glob("*")))
            loggers.append(CSVLogger(folder / "logs", name="csv", version=f"stretch_{stretches}"))
        elif name == "tensorboard":
            loggers.append(TensorBoardLogger(folder / "logs", name="tensorboard", version=""))
        else:
            loggers.append(_wandb(folder))
    return loggers


def _wandb(folder: Path) -> Any:
    tell_clients()
    try:
        from wandb.integration.lightning.fabric import WandbLogger  # type: ignore[import-not-found]
    except ImportError as error:
        raise LikewiseError(
            "--loggers wandb needs Weights & Biases: pip install 'likewise[wandb]'."
        ) from error
    return WandbLogger(project="likewise", save_dir=str(folder / "logs"))


class MetricLog:
    """``metrics.jsonl`` and Fabric's loggers, written by the first rank.

    The file stays in step with the checkpoint: a resumed run drops the lines that came after it.
    """

    def __init__(self, fabric: Fabric, run: RunFolder | None, first_step: int) -> None:
        self._fabric, self._run, self._file = fabric, run, None
        if run is not None and fabric.is_global_zero:
            lines = [line for line in run.metric_lines() if line["step"] <= first_step]
            text = "".join(json.dumps(line) + "\n" for line in lines)
            write_bytes(run.metrics, text.encode(), RESUME)
            self._file = run.metrics.open("a")

    def write(self, values: Mapping[str, float | str], state: TrainingState) -> None:
        """Add a line with these values and the run's progress, and flush it to the disk.

        Raises:
            EnvironmentIOError: the run's folder is gone, or its disk is full.
        """
        if self._file is None or self._run is None:
            return
        self._run.require_presence()
        where = {"step": state.step, "images": state.images, "seconds": round(state.seconds, 3)}
        try:
            self._file.write(json.dumps({**where, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            raise disk_error(self._run.metrics, error, remedy=RESUME) from error
        numbers = {name: value for name, value in values.items() if not isinstance(value, str)}
        if not numbers:
            return
        try:
            self._fabric.log_dict(numbers, step=state.step)
        except OSError as error:
            raise disk_error(self._run.path / "logs", error, remedy=RESUME) from error

    def close(self) -> None:
        """Close the file and let the loggers write what they have buffered."""
        if self._file is not None:
            with suppress(OSError):  # a full disk, of which the line that did not fit has told
                self._file.close()
        for logger in self._fabric.loggers:
            with suppress(AttributeError, OSError):
                logger.finalize("success")
