"""likewise from Python: train, load, compare, doctor. The command line calls these and nothing else."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from rich.console import Console

from likewise.collectives import rank, world_size
from likewise.data.checks.doctor import Findings, examine
from likewise.data.loader import Loader
from likewise.data.sources.open import open_manifest
from likewise.encoders import save_encoder
from likewise.errors import LikewiseError, did_you_mean
from likewise.evaluation.evaluation import EvaluationSettings
from likewise.evaluation.multimodal_scores import multimodal_scores
from likewise.evaluation.online import OnlineScores
from likewise.evaluation.own_classifier import own_classifier_outcomes
from likewise.evaluation.run_scores import score_encoder, write_scores
from likewise.methods import Method, Nets, Progress, Recipe, method_name
from likewise.report.compare import compare as compare_folders
from likewise.report.comparison import Comparison
from likewise.report.pages.page import write_report
from likewise.report.pictures.method_pictures import IMAGES
from likewise.report.pictures.write import write_method_pictures, write_pictures
from likewise.report.terminal import findings_table, first_screen, last_screen
from likewise.run import Run
from likewise.run_folder import RunFolder, read_json, write_json
from likewise.training import Interrupted, LoopSettings, TrainingState
from likewise.training import train as train_networks
from likewise.training.activation_memory import memory_line
from likewise.training.cached_gradients import count_microbatches
from likewise.training.launch import environment, launch
from likewise.training.networks import build_nets, earlier_stage, take_teacher, what_the_teacher_has_seen
from likewise.training.prepare import Prepared, prepare
from likewise.training.screen import Screen
from likewise.training.settings import UNCOMPARED, TrainSettings, to_json
from likewise.training.splits import budget_of
from likewise.training.start import start_of
from likewise.views.policies import CentreView

ALL_MEASURES = EvaluationSettings()
"""What is scored at the end of a run."""

FORMAT = 2
"""Of ``config.json``; raised when what it holds changes."""


def train(
    data: Any,
    labels: str | int = "all",
    method: str | Method = "auto",
    out: str | Path | None = None,
    recipe: Recipe | None = None,
    **settings: Any,
) -> Run:
    """Learn an encoder from images and however many labels, score it, and write its page.

    Args:
        data: a folder, a Parquet, tar or CSV file, arrays, a pair (images, labels), or the name of a bundled set.
        labels: what training may see: ``none``, ``all``, ``10`` (a class), ``1%``, a split file, or a CSV file.
        method: a name from `likewise.methods.METHODS`, ``auto``, or a method's instance with its settings.
        out: the run's folder; a non-empty one is refused unless ``resume`` or ``overwrite`` is set.
        recipe: optimiser and schedule, where not the method's own or the preset's.
        settings: any field of `likewise.training.settings.TrainSettings`. With ``preset="imagenet"`` the method's
            settings, recipe, batch size, epochs and image size start from that preset, and what else is given wins.

    Raises:
        LikewiseError: anything that cannot be used, with what to do instead.
    """
    known = {field.name for field in dataclasses.fields(TrainSettings)}
    for name in settings:
        if name not in known:
            raise LikewiseError(f"train() has no setting {name!r}. {did_you_mean(name, known)}")
    start = start_of(method, settings.get("preset"))
    folder = None if out is None else str(out)
    asked = dataclasses.replace(start.settings, labels=str(labels), out=folder, **settings)
    return run_training(data, asked, start.method, recipe or start.recipe, Console(quiet=True))


def run_training(
    data: Any,
    settings: TrainSettings,
    method: str | Method,
    recipe: Recipe | None,
    console: Console,
    resume_line: str = "the same call with out='{out}' and resume=True",
    measures: EvaluationSettings = ALL_MEASURES,
) -> Run:
    """Prepare, train, score and report: one run from data to page. `train` with its settings gathered.

    Args:
        data: as for `train`.
        settings: everything but the method.
        method: name or instance.
        recipe: None takes the method's own.
        console: where screens go.
        resume_line: what to do, said when the run is interrupted; {out} in it becomes the run's folder.
        measures: what is scored at the end.
    """
    prepared = prepare(data, settings, method, recipe)
    run = RunFolder(settings.out or _free_folder(data, prepared))
    return _run(data, prepared, run, console, resume_line.replace("{out}", str(run.path)), measures)


def _run(
    data: Any, prepared: Prepared, run: RunFolder, console: Console, resume_line: str, measures: EvaluationSettings
) -> Run:
    """One run from what is prepared; before it, in a folder inside its own, the run of a teacher that it needs."""
    settings = prepared.settings
    prepared.loader()  # a batch that does not fit and weights that are not there are refused before anything is written
    earlier = earlier_stage(prepared, run)
    nets = build_nets(prepared, earlier)
    fabric, precision = launch(settings, run.path)
    screen = Screen(console, enabled=fabric.is_global_zero)
    # Nor is anything written for a batch or a microbatch that does not fit these devices.
    loader = prepared.loader(rank(), world_size())
    steps = prepared.steps(loader)
    pieces = count_microbatches(settings.microbatch, loader.batch_size // world_size(), nets)
    memory = memory_line(fabric, prepared.method, nets, loader, pieces)
    if fabric.is_global_zero:
        run.create(overwrite=settings.overwrite, resume=settings.resume)
        _record(run, data, prepared, resume_line, pieces)
        write_json(run.environment, environment(fabric, precision))
        screen.keep(run.log)
    fabric.barrier()

    device = f"{fabric.device} in {precision.fabric}: {precision.reason}"
    screen.say(first_screen(prepared, run, steps, device, memory, earlier))
    if warning := what_the_teacher_has_seen(prepared):
        screen.say(f"[yellow]warning: {warning}[/yellow]")
    if earlier is not None:
        if not run.teacher.done:
            _run(data, earlier, run.teacher, console, resume_line, measures)
        fabric.barrier()
        take_teacher(nets, run.teacher)
        screen.say(f"The teacher is trained. Now what learns from it: {type(prepared.method).title}.")
    try:
        state = _train(fabric, prepared, nets, loader, steps, run, screen)
        if fabric.is_global_zero:
            save_encoder(nets.encoder, prepared.encoder, run)
            prepared.method.keep(nets, prepared.transforms, run)
            write_json(run.environment, {**read_json(run.environment), **dataclasses.asdict(state)})
            _score(fabric, prepared, nets, steps, run, measures)
            screen.say(last_screen(run))
    except Interrupted as stop:
        raise Interrupted(f"{stop} The checkpoint is written. To continue: {resume_line}") from None
    except KeyboardInterrupt:  # outside the loop, or a second Ctrl-C inside it
        raise Interrupted(f"Interrupted. What was saved is kept. To continue: {resume_line}") from None
    return Run(run.path)


def _train(
    fabric: Fabric, prepared: Prepared, nets: Nets, loader: Loader, steps: int, run: RunFolder, screen: Screen
) -> TrainingState:
    """The loop, with online scores taken by the first rank."""
    settings = prepared.settings
    plan = LoopSettings(
        steps,
        settings.seed,
        eval_every=max(steps // settings.num_evals, 1) if settings.num_evals else 0,
        save_every=settings.save_every or max(steps // 20, 1),
        microbatch=settings.microbatch,
    )
    online = OnlineScores(prepared, fabric.device) if fabric.is_global_zero else None
    if settings.compile:
        screen.say("Compiling the encoder at the first step, which takes about a minute.")
        nets.encoder.compile()
    return train_networks(fabric, prepared.method, nets, loader, prepared.recipe, plan, run, online, screen)


def _score(
    fabric: Fabric, prepared: Prepared, nets: Nets, steps: int, run: RunFolder, measures: EvaluationSettings
) -> None:
    """Final scores, pictures and the page."""
    seed, splits = prepared.settings.seed, prepared.splits
    scored = score_encoder(nets.encoder, prepared.encoder, splits, seed, fabric.device, measures, prepared.shown)
    test, view = splits.get("test"), CentreView(prepared.encoder.image_size)
    own = own_classifier_outcomes(prepared.method, nets, test.images, test.labels, view) if test else []
    multimodal = multimodal_scores(run, scored, test, seed)
    extra = {**multimodal.outcomes, "trained": [*own, *multimodal.outcomes.get("trained", [])]}
    write_scores(run, scored, extra)
    write_pictures(run, scored, multimodal.retrieved)
    few = dataclasses.replace(prepared.settings, batch_size=min(prepared.batch_size, IMAGES))
    loader, last = dataclasses.replace(prepared, settings=few).loader(), Progress(steps - 1, steps, seed)
    write_method_pictures(run, prepared.method, nets, loader, prepared.train, last, fabric.device)
    write_report(run)


def _record(run: RunFolder, data: Any, prepared: Prepared, resume_line: str, pieces: int) -> None:
    """Write ``config.json`` and ``data.json``; a resumed run must have the settings that it began with."""
    config = {
        "format": FORMAT,
        "data": str(data) if isinstance(data, str | Path) else f"{type(data).__name__} in memory",
        "method": {"name": method_name(prepared.method), "settings": to_json(prepared.method)},
        "recipe": to_json(prepared.recipe),
        "encoder": to_json(prepared.encoder),
        "labels": str(budget_of(prepared.settings)),
        "batch_size": prepared.batch_size,
        "microbatches": pieces if pieces > 1 else None,  # half as large on twice as many devices they are the same
        "resume": resume_line,
        "settings": to_json(prepared.settings),
    }
    if prepared.settings.resume and run.config.exists():
        _refuse_changes(read_json(run.config), config)
    write_json(run.config, config)
    write_json(run.data, prepared.found())


def _refuse_changes(before: dict[str, Any], now: dict[str, Any]) -> None:
    old, new = _flat(before), _flat(now)
    changed = [
        f"{name} was {old.get(name)!r} and is now {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and name.rpartition(".")[2] not in UNCOMPARED
    ]
    if changed:
        raise LikewiseError(
            f"--resume continues a run with the settings that it began with, but {'; '.join(changed[:4])}. "
            f"Give the same settings again, or start a new run with another --out."
        )


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level of dotted names."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _free_folder(data: Any, prepared: Prepared) -> str:
    """``runs/<data>-<method>``, or the first of that name with a number that is free."""
    stem = Path(data).resolve().stem if isinstance(data, str | Path) else "arrays"
    stem = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in stem)
    name = f"runs/{stem}-{method_name(prepared.method)}"
    numbered = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    return next(folder for folder in numbered if not Path(folder).exists() or prepared.settings.resume)


def load(path: str | Path) -> Run:
    """A run that was trained earlier, from its folder.

    Raises:
        LikewiseError: the folder holds no run.
    """
    return Run(RunFolder(path).require().path)


def compare(
    runs: Sequence[str | Path | Run],
    out: str | Path = "compare.html",
    score: str | None = None,
    allow_unlike: bool = False,
    console: Console | None = None,
) -> Comparison:
    """Several runs on one page: the first is what the others are measured against.

    Raises:
        LikewiseError: fewer than two runs, or scores that were taken by different protocols.
    """
    folders = [RunFolder(run.folder.path if isinstance(run, Run) else run).require() for run in runs]
    comparison = compare_folders(folders, Path(out), score, allow_unlike=allow_unlike)
    if console is not None:
        console.print(comparison)
    return comparison


def doctor(data: Any, labels: str | None = None, console: Console | None = None) -> Findings:
    """Look for what would spoil a run: unusable, tiny and duplicate files, leaks between splits, odd classes."""
    findings = examine(open_manifest(data, labels))
    if console is not None:
        console.print(findings_table(findings))
    return findings
