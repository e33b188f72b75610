"""One run from data to page: prepare, train, score, report."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.markup import escape

from likewise.adaptation.lora import merge_adapted
from likewise.classification import save_classifier
from likewise.classification.of_run import LabelledImages, calibrated_classifier
from likewise.classification.target_predictor import LabelledTargets, fit_predictor, save_predictor
from likewise.collectives import on_first_rank, rank, world_size
from likewise.data.columns.captions import CAPTIONS
from likewise.data.columns.targets import targets_in
from likewise.data.loader import Loader
from likewise.data.splits import Split
from likewise.encoders import save_encoder
from likewise.errors import LikewiseError
from likewise.evaluation.evaluate_features import group_numbers
from likewise.evaluation.evaluation import EvaluationSettings
from likewise.evaluation.multimodal_scores import multimodal_scores
from likewise.evaluation.online import OnlineScores
from likewise.evaluation.own_classifier import measure_own_classifier
from likewise.evaluation.run_scores import score_encoder, write_scores
from likewise.json_files import read_json, read_object, write_json
from likewise.memory import queue_warnings
from likewise.methods import Method, Nets, Progress, Recipe, method_name
from likewise.methods.distillation import DistillationMethod
from likewise.methods.user_views import crop_streams, view_streams
from likewise.report.data_summary import summarise_data
from likewise.report.pages.page import write_report
from likewise.report.pictures.method_pictures import IMAGES
from likewise.report.pictures.write import write_method_pictures, write_pictures
from likewise.report.terminal import RunOutline, first_screen, last_screen
from likewise.run_folder import RunFolder
from likewise.runs.config import write_config
from likewise.runs.data_name import free_folder
from likewise.runs.decline import DeclineGuard, check_on_decline
from likewise.runs.given import NOTHING_GIVEN, GivenObjects
from likewise.runs.moved_run import moved_line
from likewise.runs.networks import (
    build_nets,
    encoder_lr_scale,
    start_classifier,
    starts_from_prototypes,
    starts_from_weights,
)
from likewise.runs.prepare import Prepared, prepare
from likewise.runs.run import Run
from likewise.runs.run_lock import locked
from likewise.runs.settings import TrainSettings
from likewise.runs.teacher import check_teacher_leakage
from likewise.training import Callback, Interrupted, LoopSettings, TrainingState
from likewise.training import train as train_networks
from likewise.training.compiling import compile_encoder, compiles
from likewise.training.launch import environment, launch
from likewise.training.microbatch import choose_microbatch, count_microbatches, microbatch_line
from likewise.training.precision import Chosen
from likewise.training.processes import started_processes
from likewise.training.rank_watch import RankWatch
from likewise.training.screen import Screen
from likewise.views.policies import CentreView

ALL_MEASURES = EvaluationSettings()
"""What is scored at the end of a run."""


def run_training(
    data: Any,
    settings: TrainSettings,
    method: str | Method,
    recipe: Recipe | None,
    console: Console,
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
        console: where screens go.
        resume_line: what continues an interrupted run; {out} in it becomes the run's folder.
        measures: what is scored at the end.
        given: parts of the run that were given as objects.
    """
    prepared = prepare(data, settings, method, recipe, given)
    run = RunFolder(prepared.settings.out or free_folder(data, method_name(prepared.method), prepared.settings.resume))
    resume_line = resume_line.replace("{out}", str(run.path))
    # A batch that does not fit, weights that are missing and an unsuitable teacher are refused before anything is
    # written, and so is a batch or a microbatch that cannot be divided by the number of devices.
    prepared.loader()
    nets = build_nets(prepared)
    _check_start(prepared, nets)
    with RankWatch(f"The checkpoints are whole. To continue: {resume_line}") as watch:
        fabric, precision = _launch(prepared.settings, run, watch)
        run = RunFolder(fabric.broadcast(str(run.path)))  # a free name that one rank finds may be taken for the next
        loader = with_view_streams(prepared, nets, prepared.loader(rank(), world_size()))
        microbatch = _microbatch(fabric, prepared, nets, loader, run)
        microbatches = count_microbatches(microbatch, loader.batch_size // world_size(), nets)
        memory = microbatch_line(prepared.settings.microbatch, microbatches, loader.batch_size, nets)
        screen = Screen(console, enabled=fabric.is_global_zero)
        found = on_first_rank(lambda: data_summary(prepared))  # it compares images, which once is enough
        found["warnings"] += queue_warnings(nets, len(prepared.train_indices))

        def write_settings() -> str:
            extension = write_config(run, data, prepared, loader, resume_line, microbatches)
            moved = moved_line(run, fabric.world_size, nets)
            write_json(run.data, found)
            write_json(run.environment, {**environment(fabric, precision), **_pretrained_record(nets)})
            screen.keep(run.log)
            return "\n".join(filter(None, (extension, moved)))

        with _taken(run, prepared.settings) as takeover:
            extension = on_first_rank(write_settings)
            if starts_from_prototypes(prepared, nets) and not run.has_checkpoint:
                start_classifier(prepared, nets, fabric.device)
            outline = _outline(prepared, nets, run, prepared.steps(loader), _device_line(fabric, precision), memory)
            lines = (takeover, extension, _learning_line(prepared, nets), _teacher_leakage(prepared))
            for message in (first_screen(found, prepared.masks, outline), *filter(None, lines)):
                screen.say(message)
            with _saying_how_to_resume(resume_line):
                state = _train(fabric, prepared, nets, loader, run, screen, microbatch, given.callbacks)
                if fabric.is_global_zero:
                    _finish(fabric, prepared, nets, state, run, measures)
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
        raise Interrupted(f"Interrupted. The last checkpoint is unchanged. To continue: {resume_line}") from None


@contextmanager
def _taken(run: RunFolder, settings: TrainSettings) -> Iterator[str]:
    """While the context is open, the folder is this run's. Yields what is to be said of a killed process before it."""
    with ExitStack() as stack:
        yield on_first_rank(lambda: _take(run, settings, stack))


def _take(run: RunFolder, settings: TrainSettings, stack: ExitStack) -> str:
    """Lock the folder and empty it where it is to be replaced; one that holds no run is looked at before."""
    if run.config.exists():
        message = stack.enter_context(locked(run))
        run.create(overwrite=settings.overwrite, resume=settings.resume)
        return message
    run.create(overwrite=settings.overwrite, resume=settings.resume)
    return stack.enter_context(locked(run))


def with_view_streams(prepared: Prepared, nets: Nets, loader: Loader) -> Loader:
    """The loader that makes a user's views in its workers, or cuts the crops of ours, where there are such."""
    first_step = Progress(0, prepared.steps(loader), prepared.settings.seed, rank(), world_size())
    streams = view_streams(prepared.method, nets, loader, first_step)
    crops = crop_streams(prepared.method, nets, loader, first_step)
    return dataclasses.replace(loader, view_streams=streams, crop_streams=crops)


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


def online_scores(prepared: Prepared, device: torch.device) -> OnlineScores:
    """The scores that are taken while a run goes on."""
    size, seed = prepared.encoder.image_size, prepared.settings.seed
    return OnlineScores(prepared.splits, size, seed, device, prepared.transforms.get(CAPTIONS))


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
    return launch(settings.device, settings.devices, settings.precision, settings.loggers, run.path, watch)


def _device_line(fabric: Fabric, precision: Chosen) -> str:
    return f"{fabric.device} in {precision.fabric}: {precision.reason}"


def _pretrained_record(nets: Nets) -> dict[str, Any]:
    """How the weights that the encoder starts from fitted it, for ``environment.json``."""
    match = nets.encoder.key_match
    return {"pretrained": match._asdict()} if match is not None else {}


def _outline(prepared: Prepared, nets: Nets, run: RunFolder, steps: int, device: str, memory: str) -> RunOutline:
    method, settings = prepared.method, prepared.settings
    return RunOutline(
        method,
        prepared.method_reason,
        settings.preset,
        prepared.encoder,
        prepared.recipe.optimizer,
        prepared.batch_size,
        steps,
        steps * settings.accumulate_grad_batches * prepared.batch_size / max(len(prepared.train_indices), 1),
        device,
        str(run.path),
        method.teacher if isinstance(method, DistillationMethod) else "",
        memory,
        prepared.start_reason,
        nets.encoder.key_match,
        settings.accumulate_grad_batches,
        settings.model_ema_decay,
        bn_stats_frozen=bool(nets.frozen_bn_stats),
        encoder_lr_scale=encoder_lr_scale(prepared),
    )


def _teacher_leakage(prepared: Prepared) -> str:
    """A warning where the teacher has learned from images that this run tests on."""
    method = prepared.method
    if not isinstance(method, DistillationMethod) or not method.teacher:
        return ""
    warning = check_teacher_leakage(method.teacher, prepared.manifest.source, prepared.train.manifest.ids)
    return f"[yellow]warning: {escape(warning)}[/yellow]" if warning else ""


def _microbatch(fabric: Fabric, prepared: Prepared, nets: Nets, loader: Loader, run: RunFolder) -> int | None:
    """Images that a device embeds at a time; a resumed run uses the number that it found before."""
    settings, wanted = prepared.settings, prepared.settings.microbatch
    if wanted == "auto" and settings.resume and run.config.exists():
        wanted = loader.batch_size // world_size() // (read_object(run.config).get("microbatches") or 1)
    return choose_microbatch(wanted, fabric, prepared.method, nets, loader, prepared.steps(loader))


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
    plan = LoopSettings(
        steps,
        settings.seed,
        eval_every=max(steps // settings.num_evals, 1) if settings.num_evals else 0,
        save_every=settings.save_every or max(steps // 20, 1),
        microbatch=microbatch,
        clip_grad_norm=settings.clip_grad_norm,
        accumulate_grad_batches=settings.accumulate_grad_batches,
        model_ema_decay=settings.model_ema_decay,
        max_bad=settings.max_bad,
        cuda_graph=settings.cuda_graph,
        on_collapse=settings.on_collapse,
    )
    online = online_scores(prepared, fabric.device) if fabric.is_global_zero else None
    if starts_from_weights(prepared) and plan.eval_every:
        callbacks = [DeclineGuard(online, settings.on_decline, screen), *callbacks]
    if compiles(settings.compile, fabric.device, steps):
        screen.say("Compiling the encoder at the first step, which takes about a minute.")
        compile_encoder(nets.encoder, settings.compile)
    return train_networks(fabric, prepared.method, nets, loader, prepared.recipe, plan, run, online, screen, callbacks)


def _finish(
    fabric: Fabric,
    prepared: Prepared,
    nets: Nets,
    state: TrainingState,
    run: RunFolder,
    measures: EvaluationSettings,
) -> None:
    """Weights, final scores, pictures and the page."""
    method, settings = prepared.method, prepared.settings
    merge_adapted(nets)
    save_encoder(nets.encoder, prepared.encoder, run.path)
    method.save(nets, prepared.transforms, run.path)
    _save_classifier(fabric, prepared, nets, run)
    write_json(run.environment, {**read_json(run.environment), **dataclasses.asdict(state)})
    _score(fabric, prepared, nets, run, measures)
    few = dataclasses.replace(settings, batch_size=min(prepared.batch_size, IMAGES))
    loader = dataclasses.replace(prepared, settings=few).loader()
    last_step = Progress(state.step - 1, state.step, settings.seed)
    write_method_pictures(run, method, nets, loader, prepared.train, last_step, fabric.device)
    write_report(run)


def _save_classifier(fabric: Fabric, prepared: Prepared, nets: Nets, run: RunFolder) -> None:
    """``classifier.*`` where training saw labels of two classes or more, or several classes an image, or numbers."""
    train, validation = prepared.train, prepared.splits.get("val")
    view, seed = CentreView(prepared.encoder.image_size), prepared.settings.seed
    visible = _labelled_targets(train) if prepared.shows_targets else None
    if visible is not None:
        held_out = None if validation is None else _labelled_targets(validation)
        saw_them = prepared.method.card.needs != "no labels"
        fitted = fit_predictor(nets.encoder, visible, held_out, view, seed, fabric.device, saw_them)
        if fitted is not None:
            save_predictor(fitted, prepared.encoder, run.path)
        return
    made = calibrated_classifier(
        prepared.method,
        nets,
        LabelledImages(train.images, prepared.visible_labels, group_numbers(train.manifest)),
        LabelledImages(validation.images, validation.labels) if validation else None,
        prepared.manifest.class_names,
        view,
        seed,
        fabric.device,
    )
    if made is not None:
        save_classifier(made.classifier, prepared.encoder, made.reference, run.path)


def _labelled_targets(split: Split) -> LabelledTargets | None:
    """The images of a part of the data with their targets, where they have any."""
    column = targets_in(split.manifest.columns)
    return None if column is None else LabelledTargets(split.images, column, group_numbers(split.manifest))


def _score(fabric: Fabric, prepared: Prepared, nets: Nets, run: RunFolder, measures: EvaluationSettings) -> None:
    """``scores.json`` and the pictures of what was scored."""
    seed, splits, settings = prepared.settings.seed, prepared.splits, prepared.encoder
    labels = prepared.visible_labels
    scored = score_encoder(nets.encoder, settings, splits, seed, fabric.device, measures, labels)
    test, view = scored.test, CentreView(settings.image_size)
    own = measure_own_classifier(prepared.method, nets, test.images, test.labels, view) if test else []
    multimodal = multimodal_scores(run, scored, splits["train"], seed)
    extra = {**multimodal.measurements, "trained": [*own, *multimodal.measurements.get("trained", [])]}
    skipped = dict(prepared.manifest.skipped)
    write_scores(run, scored, extra, skipped=skipped, differences=multimodal.differences)
    write_pictures(run, scored, multimodal.retrieved)


def _check_start(prepared: Prepared, nets: Nets) -> None:
    """Refuse what needs a start from weights where there is none."""
    starts_from_prototypes(prepared, nets)
    settings, validation = prepared.settings, prepared.splits.get("val")
    has_labels = validation is not None and bool(len(validation.known()))
    averaged = settings.model_ema_decay is not None
    if averaged and settings.on_collapse != "warn":
        raise LikewiseError(
            f"--on-collapse {settings.on_collapse} restores networks, of which no average of the weights is kept: "
            f"leave out --model-ema-decay, or give --on-collapse warn."
        )
    check_on_decline(settings.on_decline, starts_from_weights(prepared), has_labels, settings.num_evals, averaged)


def _learning_line(prepared: Prepared, nets: Nets) -> str:
    """How much of the encoder learns; empty without ``--adapt``."""
    if prepared.settings.adapt is None:
        return ""
    sizes = [parameter.numel() for parameter in nets.encoder.parameters() if parameter.requires_grad]
    total = sum(parameter.numel() for parameter in nets.encoder.parameters())
    return (
        f"--adapt {prepared.settings.adapt}: {sum(sizes) / 1e6:.2f} of the encoder's {total / 1e6:.2f} million "
        f"parameters learn."
    )
