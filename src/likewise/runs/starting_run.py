"""A run on its devices before its first step: what it writes of itself, and what it says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from likewise.collectives import on_first_rank
from likewise.data.columns.tokens import cut_captions_warnings
from likewise.data.loader import Loader
from likewise.encoders.from_module import module_warnings
from likewise.json_files import write_json
from likewise.memory import queue_warnings
from likewise.methods import Nets
from likewise.methods.distillation import DistillationMethod
from likewise.report.data_summary import summarise_data
from likewise.report.first_screen import RunOutline, first_screen
from likewise.run_folder import RunFolder
from likewise.runs.config import write_config
from likewise.runs.moved_run import moved_line
from likewise.runs.prepared import Prepared
from likewise.runs.teacher import check_teacher_leakage
from likewise.training.launch import environment
from likewise.training.microbatch import microbatch_line
from likewise.training.precision import Chosen
from likewise.training.screen import Screen

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class StartingRun:
    """A run whose devices, networks and batches are known."""

    prepared: Prepared
    nets: Nets
    """before training"""
    loader: Loader
    """this rank's"""
    folder: RunFolder
    fabric: Fabric
    """launched"""
    precision: Chosen
    microbatches: int
    """in a device's batch"""
    found: dict[str, Any]
    """in the data, see `found_in_data`"""

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.prepared.steps(self.loader)

    def begin_folder(self, data: Any, resume_line: str, screen: Screen) -> str:
        """Write ``config.json``, ``data.json`` and ``environment.json``, and begin the log; the first rank does.

        Args:
            data: as it was given.
            resume_line: what to type to continue the run.
            screen: whose messages the log gets from now on.

        Returns:
            what a run that is continued changes; empty where it changes nothing.

        Raises:
            LikewiseError: the run in the folder has other settings.
        """
        extension = write_config(
            self.folder, data, self.prepared, self.loader, resume_line, self.microbatches
        )
        moved = moved_line(self.folder, self.fabric.world_size, self.nets)
        write_json(self.folder.data, self.found)
        about = environment(self.fabric, self.precision)
        write_json(self.folder.environment, {**about, **self._pretrained_record()})
        screen.keep(self.folder.log)
        return "\n".join(filter(None, (extension, moved)))

    def say(self, changes: Iterable[str], screen: Screen) -> None:
        """What was found in the data, what will happen, what to know of it, and what a continued run changes."""
        screen.say(first_screen(self.found, self.prepared.masks, self._outline()))
        for warning in filter(None, (*self.found["warnings"], self._teacher_warning())):
            screen.warn(f"warning: {warning}")
        for line in filter(None, (*changes, self._adaptation_line())):
            screen.say(line)

    def _outline(self) -> RunOutline:
        method, settings = self.prepared.method, self.prepared.settings
        images = self.steps * settings.accumulate_grad_batches * self.prepared.batch_size
        return RunOutline(
            method,
            self.prepared.method_reason,
            settings.preset,
            self.prepared.encoder,
            self.prepared.recipe.optimizer,
            self.prepared.batch_size,
            self.steps,
            images / max(len(self.prepared.train_indices), 1),
            f"{self.fabric.device} in {self.precision.fabric}: {self.precision.reason}",
            str(self.folder.path),
            method.teacher if isinstance(method, DistillationMethod) else "",
            microbatch_line(
                settings.microbatch, self.microbatches, self.loader.batch_size, self.nets
            ),
            self.prepared.start_reason,
            self.nets.encoder.key_match,
            settings.accumulate_grad_batches,
            settings.model_ema_decay,
            bn_stats_frozen=bool(self.nets.frozen_bn_stats),
            encoder_lr_scale=self.prepared.encoder_lr_scale,
        )

    def _pretrained_record(self) -> dict[str, Any]:
        """How the weights that the encoder starts from fitted it."""
        match = self.nets.encoder.key_match
        return {"pretrained": match._asdict()} if match is not None else {}

    def _adaptation_line(self) -> str:
        """How much of the encoder learns; empty without ``--adapt``."""
        adapt = self.prepared.settings.adapt
        if adapt is None:
            return ""
        parameters = list(self.nets.encoder.parameters())
        total = sum(parameter.numel() for parameter in parameters) / 1e6
        learning = (
            sum(parameter.numel() for parameter in parameters if parameter.requires_grad) / 1e6
        )
        return f"--adapt {adapt}: {learning:.2f} of the encoder's {total:.2f} million parameters learn."

    def _teacher_warning(self) -> str:
        """A warning where the teacher has learned from images that this run tests on."""
        method = self.prepared.method
        if not isinstance(method, DistillationMethod) or not method.teacher:
            return ""
        manifest = self.prepared.train.manifest
        return check_teacher_leakage(method.teacher, self.prepared.manifest.source, manifest.ids)


def found_in_data(prepared: Prepared, nets: Nets) -> dict[str, Any]:
    """What was found in the data, and what of it does not suit the method; every rank calls it."""
    # It compares images, which once is enough.
    found = on_first_rank(lambda: data_summary(prepared))
    found["warnings"] += [
        *queue_warnings(nets, len(prepared.train_indices)),
        *module_warnings(nets.encoder),
        *cut_captions_warnings(prepared.modalities),
    ]
    return found


def data_summary(prepared: Prepared) -> dict[str, Any]:
    """What was found in the data of a run, as ``data.json`` has it."""
    return summarise_data(
        prepared.manifest,
        prepared.splits,
        prepared.visible_labels,
        prepared.method,
        prepared.encoder,
        len(prepared.train_indices),
        prepared.masks,
    )
