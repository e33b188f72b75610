"""One run from data to page: prepare, train, score, report."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from likewise.collectives import on_first_rank, rank, world_size
from likewise.data.columns.captions import CAPTIONS
from likewise.data.loader import Loader
from likewise.errors import LikewiseError
from likewise.evaluation.evaluation import EvaluationSettings
from likewise.evaluation.online import OnlineScores
from likewise.json_files import read_object
from likewise.methods import Method, Nets, Progress, Recipe, method_name
from likewise.methods.user_views import crop_streams, view_streams
from likewise.randomness import restored_rng
from likewise.report.last_screen import last_screen
from likewise.run_folder import RunFolder
from likewise.runs.data_name import free_folder
from likewise.runs.decline import DeclineGuard, check_on_decline
from likewise.runs.finish_run import finish_run
from likewise.runs.given import NOTHING_GIVEN, GivenObjects
from likewise.runs.networks import (
    build_nets,
    start_classifier,
    starts_from_prototypes,
)
from likewise.runs.prepare import prepare
from likewise.runs.prepared import Prepared
from likewise.runs.run import Run
from likewise.runs.run_lock import taken
from likewise.runs.setting_checks import check_fully_sharded
from likewise.runs.settings import TrainSettings
from likewise.runs.starting_run import StartingRun, found_in_data
from likewise.torch_defaults import torch_defaults
from likewise.training import Callback, Interrupted, LoopSettings, TrainingState
from likewise.training import train as train_networks
from likewise.training.activation_checkpointing import activation_checkpointing, require_blocks
from likewise.training.compiling import compile_encoder, compiles
from likewise.training.launch import launch
from likewise.training.matmul_precision import matmul_precision
from likewise.training.microbatch import choose_microbatch, count_microbatches
from likewise.training.precision import Chosen
from likewise.training.processes import started_processes
from likewise.training.rank_watch import RankWatch
from likewise.training.screen import Screen

if TYPE_CHECKING:
    from lightning_fabric import Fabric

ALL_MEASURES = EvaluationSettings()
"""What is scored at the end of a run."""


@torch_defaults()
@restored_rng()
def run_training(
    data: Any,
    settings: TrainSettings,
    method: str | Method,
    recipe: Recipe | None,
    console: Console | None,
    resume_line: str = "the same call with out='{out}' and resume=True",
    measures: EvaluationSettings = ALL_MEASURES,
    given: GivenObjects = NOTHING_GIVEN,
) -> Run:
    """Prepare, train, score and report. `likewise.train` with its settings gathered.

    Args:
        data: as for `likewise.train`.
        settings: everything but the method.
        method: name or instance.
        recipe: None takes the method's own.
        console: where screens go; None: nowhere, and warnings are Python's.
        resume_line: what continues an interrupted run; {out} in it becomes the run's folder.
        measures: what is scored at the end.
        given: parts of the run that were given as objects.
    """
    prepared = prepare(data, settings, method, recipe, given)
    settings = prepared.settings
    run = RunFolder(
        settings.out or free_folder(data, method_name(prepared.method), settings.resume)
    )
    resume_line = resume_line.replace("{out}", str(run.path))
    # A batch that does not fit, weights that are missing and an unsuitable teacher are refused before anything is
    # written, and so is a batch or a microbatch that cannot be divided by the number of devices.
    prepared.loader()
    nets = build_nets(prepared)
    _check_start(prepared, nets)
    to_continue = f"The checkpoints are whole. To continue: {resume_line}"
    with (
        matmul_precision(settings.matmul_precision) as precision_line,
        RankWatch(to_continue) as watch,
    ):
        fabric, precision = _launch(settings, run, watch)
        # A free name that one rank finds may be taken for the next.
        run = RunFolder(fabric.broadcast(str(run.path)))
        loader = with_view_streams(prepared, nets, prepared.loader(rank(), world_size()))
        microbatch = _microbatch(fabric, prepared, nets, loader, run)
        microbatches = count_microbatches(microbatch, loader.batch_size // world_size(), nets)
        found = found_in_data(prepared, nets)
        starting = StartingRun(prepared, nets, loader, run, fabric, precision, microbatches, found)
        screen = Screen(console, enabled=fabric.is_global_zero)
        with taken(run, settings) as takeover:
            changes = on_first_rank(lambda: starting.begin_folder(data, resume_line, screen))
            if starts_from_prototypes(prepared, nets) and not run.has_checkpoint:
                start_classifier(prepared, nets, fabric.device)
            starting.say((takeover, changes, precision_line), screen)
            with _saying_how_to_resume(resume_line):
                state = _train(
                    fabric, prepared, nets, loader, run, screen, microbatch, given.callbacks
                )
                if fabric.is_global_zero:
                    finish_run(fabric, prepared, nets, state, run, measures)
                    screen.say(last_screen(run))
                fabric.barrier()  # every rank returns the same run, with its scores
    return Run(run.path, given.encoder)


@contextmanager
def _saying_how_to_resume(resume_line: str) -> Iterator[None]:
    """While the context is open, an interruption says what continues the run.

    Raises:
        Interrupted: with what continues the run.
    """
    try:
        yield
    except Interrupted as stop:
        raise Interrupted(f"{stop} The checkpoint is written. To continue: {resume_line}") from None
    except KeyboardInterrupt:  # outside the loop, or a second Ctrl-C inside it
        raise Interrupted(
            f"Interrupted. The last checkpoint is unchanged. To continue: {resume_line}"
        ) from None


def with_view_streams(prepared: Prepared, nets: Nets, loader: Loader) -> Loader:
    """The loader that makes a user's views in its workers, or cuts the crops of ours, where there are such."""
    first_step = Progress(0, prepared.steps(loader), prepared.settings.seed, rank(), world_size())
    streams = view_streams(prepared.method, nets, loader, first_step)
    crops = crop_streams(prepared.method, nets, loader, first_step)
    return dataclasses.replace(loader, view_streams=streams, crop_streams=crops)


def online_scores(prepared: Prepared, device: torch.device) -> OnlineScores:
    """The scores that are taken while a run goes on; of one that starts from weights, all that `DeclineGuard` reads."""
    return OnlineScores(
        prepared.splits,
        prepared.encoder.image_size,
        prepared.settings.seed,
        device,
        prepared.transforms.get(CAPTIONS),
        linear=prepared.starts_from_weights,
    )


def _launch(settings: TrainSettings, run: RunFolder, watch: RankWatch) -> tuple[Fabric, Chosen]:
    """Devices and precision.

    Raises:
        LikewiseError: one device was given in a script that runs as several ranks, which would all write the run.
    """
    started = started_processes()
    if settings.devices == 1 and started is not None:
        raise LikewiseError(
            f"devices=1 was given, but this script runs in {started.total} processes, and each would train and write "
            f"the same run. Give devices={started.total}, or put this run into a script of its own."
        )
    return launch(
        settings.device,
        settings.devices,
        settings.precision,
        settings.loggers,
        run.path,
        watch,
        settings.strategy,
    )


def _microbatch(
    fabric: Fabric, prepared: Prepared, nets: Nets, loader: Loader, run: RunFolder
) -> int | None:
    """Images that a device embeds at a time; a resumed run uses the number that it found before."""
    settings, wanted = prepared.settings, prepared.settings.microbatch
    if wanted == "auto" and settings.resume and run.config.exists():
        wanted = (
            loader.batch_size // world_size() // (read_object(run.config).get("microbatches") or 1)
        )
    steps = prepared.steps(loader)
    with activation_checkpointing(nets) if settings.activation_checkpointing else nullcontext():
        return choose_microbatch(wanted, fabric, prepared.method, nets, loader, steps)


def _train(
    fabric: Fabric,
    prepared: Prepared,
    nets: Nets,
    loader: Loader,
    run: RunFolder,
    screen: Screen,
    microbatch: int | None,
    callbacks: Sequence[Callback],
) -> TrainingState:
    """The loop, with online scores taken by the first rank."""
    settings, steps = prepared.settings, prepared.steps(loader)
    plan = _loop_settings(prepared, steps, microbatch)
    online = online_scores(prepared, fabric.device) if fabric.is_global_zero else None
    if prepared.starts_from_weights and plan.eval_every:
        callbacks = [DeclineGuard(online, settings.on_decline, screen), *callbacks]
    if compiles(settings.compile, fabric.device, steps) and settings.strategy == "ddp":
        screen.say("Compiling the encoder at the first step, which takes about a minute.")
        compile_encoder(nets.encoder, settings.compile)
    return train_networks(
        fabric, prepared.method, nets, loader, prepared.recipe, plan, run, online, screen, callbacks
    )


def _loop_settings(prepared: Prepared, steps: int, microbatch: int | None) -> LoopSettings:
    settings = prepared.settings
    return LoopSettings(
        steps,
        settings.seed,
        eval_every=max(steps // settings.num_evals, 1) if settings.num_evals else 0,
        save_every=settings.save_every or max(steps // 20, 1),
        microbatch=microbatch,
        activation_checkpointing=settings.activation_checkpointing,
        clip_grad_norm=settings.clip_grad_norm,
        accumulate_grad_batches=settings.accumulate_grad_batches,
        model_ema_decay=settings.model_ema_decay,
        max_bad=settings.max_bad,
        left_out=prepared.manifest.unread,
        cuda_graph=settings.cuda_graph,
        fused_batch_norm=settings.fused_batch_norm,
        on_collapse=settings.on_collapse,
    )


def _check_start(prepared: Prepared, nets: Nets) -> None:
    """Refuse what needs a start from weights where there is none."""
    starts_from_prototypes(prepared, nets)
    settings, validation = prepared.settings, prepared.splits.get("val")
    if settings.strategy == "fsdp":
        check_fully_sharded(settings, prepared.method)
    if settings.activation_checkpointing:
        require_blocks(nets.encoder, prepared.encoder.name)
    has_labels = validation is not None and bool(len(validation.known()))
    averaged = settings.model_ema_decay is not None
    check_on_decline(
        settings.on_decline, prepared.starts_from_weights, has_labels, settings.num_evals, averaged
    )
