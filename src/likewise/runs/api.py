"""likewise from Python: train, load, compare, doctor. The command line calls these and nothing else."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from likewise.data.checks.doctor import examine
from likewise.data.checks.finding import Findings
from likewise.data.columns.column_names import ColumnNames, MissingLabels
from likewise.data.encoder_range import refuse_unused_range
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError, did_you_mean
from likewise.field_types import SIZE, checked_arguments, with_checked_types
from likewise.methods import METHODS, Method, Recipe, SimCLR
from likewise.methods.user_views import UserViews
from likewise.report.compare import compare as compare_folders
from likewise.report.comparison import Comparison
from likewise.report.findings_screen import findings_list, findings_table
from likewise.run_folder import RunFolder
from likewise.runs.defaults import Defaults, defaults_of
from likewise.runs.given import (
    GivenObjects,
    checked_callbacks,
    checked_labels,
    checked_method,
    with_encoder,
)
from likewise.runs.prepare import prepare as prepare_run
from likewise.runs.prepared import Prepared
from likewise.runs.run import Run
from likewise.runs.settings import TrainSettings
from likewise.runs.train_run import run_training
from likewise.runs.verify import STEPS, Verification, run_verification, show
from likewise.training import Callback


def train(
    data: Any,
    labels: str | int = "all",
    method: str | Method = "auto",
    out: str | Path | None = None,
    recipe: Recipe | None = None,
    encoder: str | nn.Module | Run = "auto",
    views: UserViews | Mapping[str, UserViews] | None = None,
    callbacks: Sequence[Callback] = (),
    console: Console | None = None,
    **settings: Any,
) -> Run:
    """Learn an encoder from images and however many labels, score it, and write its page.

    Args:
        data: a folder, a Parquet, tar or CSV file, a map-style torch ``Dataset``, a Hugging Face dataset, a table
            with a column of images or paths, arrays, a pair (images, labels), or the name of a bundled set.
        labels: what training may see: ``none``, ``all``, ``10`` (a class), ``1%``, a split file, or a CSV file.
        method: a name from `likewise.methods.METHODS`, ``auto``, or a method's instance with its settings.
        out: the run's folder; a non-empty one is refused unless ``resume`` or ``overwrite`` is set.
        recipe: optimiser and schedule, where not the method's own or the preset's.
        encoder: a name, a run or its folder, or any module from [B, C, S, S] to features [B, D] or to a map
            [B, D, h, w].
        views: how views are made: a policy of `likewise.views`, or a callable on a PIL image, on a uint8 tensor
            [C, H, W], or of albumentations. A method with several kinds of views takes a mapping from the names of
            its settings.
        callbacks: code of your own that runs while the network trains, such as ``lw.EarlyStopping``.
        console: a ``rich.console.Console``, for what ``likewise train`` prints: the outline of the run, progress and
            scores. None prints nothing: warnings are Python's, and the run's ``train.log`` has it all.
        settings: any field of `likewise.runs.settings.TrainSettings`. With ``preset="imagenet"`` the method's
            settings, recipe, batch size, epochs and image size start from that preset, and what else is given wins.

    Raises:
        LikewiseError: anything that cannot be used, with what to do instead.
    """
    chosen, defaults, module = _chosen(method, settings, labels, out, encoder)
    given = GivenObjects(module, views, checked_callbacks(callbacks, chosen.num_evals))
    recipe = defaults.recipe if recipe is None else recipe
    return run_training(data, chosen, defaults.method, recipe, console, given=given)


def prepare(
    data: Any,
    labels: str | int = "all",
    method: str | Method = "auto",
    encoder: str | nn.Module | Run = "auto",
    views: UserViews | Mapping[str, UserViews] | None = None,
    **settings: Any,
) -> Prepared:
    """What `train` makes before its first step, for a loop of your own: data, batches, method and networks.

    >>> prepared = likewise.prepare("photos/", labels="10", method="suncet", batch_size=64)
    >>> method, loader = prepared.method, prepared.loader()
    >>> nets = method.build(likewise.encoders.build_encoder(prepared.encoder), prepared.manifest.classes)

    Args:
        data: as for `train`, like the other arguments.
        labels: what training may see.
        method: a name, ``auto``, or an instance.
        encoder: a name, a run or its folder, or a module.
        views: how views are made, where not as the method says.
        settings: any field of `likewise.runs.settings.TrainSettings`.

    Raises:
        LikewiseError: anything that cannot be used, with what to do instead.
    """
    chosen, defaults, module = _chosen(method, settings, labels, None, encoder)
    return prepare_run(data, chosen, defaults.method, defaults.recipe, GivenObjects(module, views))


def _chosen(
    method: str | Method,
    settings: dict[str, Any],
    labels: str | int,
    out: str | Path | None,
    encoder: Any,
) -> tuple[TrainSettings, Defaults, nn.Module | None]:
    """The settings of a run, the defaults that they started from, and the module where one was given."""
    known = {field.name for field in dataclasses.fields(TrainSettings)}
    for name in settings:
        if name not in known:
            raise LikewiseError(
                f"There is no setting {name!r}. {_where_it_belongs(name, method, known)}"
            )
    preset = settings.get("preset")
    if preset is not None and not isinstance(preset, str):
        raise LikewiseError(
            f"preset={preset!r} was given ({type(preset).__name__}); preset takes a text or None."
        )
    defaults = defaults_of(checked_method(method), preset)
    named = {"labels": checked_labels(labels), "out": out}
    chosen = with_checked_types(dataclasses.replace(defaults.settings, **(named | settings)))
    chosen, module = with_encoder(chosen, encoder)
    return chosen, defaults, module


def _where_it_belongs(name: str, method: str | Method, known: Collection[str]) -> str:
    """Where a setting of the method or of the optimiser is given; else the setting that may have been meant."""
    kind = type(method) if isinstance(method, Method) else METHODS.get(method, SimCLR)
    if name in {field.name for field in dataclasses.fields(kind)}:
        return f"It is one of the method: method=likewise.methods.{kind.__name__}({name}=...)."
    of_recipe = [field.name for field in dataclasses.fields(Recipe)]
    recipe_name = "learning_rate" if name == "lr" else name
    if recipe_name in of_recipe:
        names = ", ".join(of_recipe)
        return f"It is one of the recipe, of {names}: recipe=likewise.methods.Recipe({recipe_name}=...)."
    if name in ("callbacks", "recipe"):  # a loop of your own has its own
        return f"{name} belongs to likewise.train: leave it out here."
    if name in ("augment", "augmentation", "augmentations", "transform", "transforms"):
        return "Views are given as views=, for instance views=torchvision.transforms.v2.Compose([...])."
    return did_you_mean(name, {*known, "callbacks", "method", "recipe", "views"})


@checked_arguments(first_steps=SIZE)
def verify(
    data: Any,
    devices: int = 2,
    labels: str | int = "all",
    method: str | Method = "auto",
    recipe: Recipe | None = None,
    encoder: str | nn.Module | Run = "auto",
    views: UserViews | Mapping[str, UserViews] | None = None,
    first_steps: int = STEPS,
    console: Console | None = None,
    **settings: Any,
) -> Verification:
    """Whether N processes train as one does: the same first steps by both, on your own data and settings.

    The losses, the gradients, the weights and the online scores are compared, each within a tolerance. New processes
    import the calling script, so in a script the call belongs under ``if __name__ == "__main__":``. Nothing is written.

    Args:
        data: as for `train`, like the other arguments.
        devices: processes that are compared with one.
        labels: what training may see.
        method: a name, ``auto``, or an instance.
        recipe: optimiser and schedule.
        encoder: a name, a run or its folder, or a module.
        views: how views are made, where not as the method says.
        first_steps: how many steps both take.
        console: where a screen goes; None prints nothing.
        settings: any field of `likewise.runs.settings.TrainSettings`.

    Raises:
        LikewiseError: anything that cannot be used, with what to do instead.
    """
    chosen, defaults, module = _chosen(
        method, {**settings, "devices": devices}, labels, None, encoder
    )
    given = GivenObjects(module, views)
    found = run_verification(
        data, chosen, defaults.method, recipe or defaults.recipe, given, first_steps
    )
    if console is not None:
        show(found, method, console)
    return found


@checked_arguments()
def load(path: str | Path, encoder: nn.Module | None = None) -> Run:
    """A run that was trained earlier, from its folder; or a classifier from the folder of an advice.

    Args:
        path: the run's folder.
        encoder: a module of the shape that the run was trained with, where it was a user's and cannot be built again
            from the name of its class.

    Raises:
        LikewiseError: the folder holds no run and no classifier.
    """
    if not isinstance(path, str | os.PathLike):
        raise LikewiseError(
            f"load({path!r}): the folder of a run was expected, as text or as a path."
        )
    folder = RunFolder(path)
    is_classifier_alone = folder.classifier.exists() and not folder.config.exists()
    return Run(path if is_classifier_alone else folder.require().path, encoder)


@checked_arguments()
def compare(
    runs: Sequence[str | Path | Run],
    out: str | Path = "compare.html",
    score: str | None = None,
    allow_incomparable: bool = False,
    console: Console | None = None,
) -> Comparison:
    """Several runs on one page: the first is what the others are measured against.

    Raises:
        LikewiseError: fewer than two runs, or scores that were taken by different protocols.
    """
    if not isinstance(runs, list | tuple):
        raise LikewiseError(
            f"runs={runs!r} was given; it takes a list of runs or of their folders, such as ['runs/a', 'runs/b']."
        )
    folders = [_folder_of(run) for run in runs]
    comparison = compare_folders(folders, Path(out), score, allow_incomparable=allow_incomparable)
    if console is not None:
        console.print(comparison)
    return comparison


def _folder_of(run: Any) -> RunFolder:
    """The folder of a run, which exists."""
    if isinstance(run, Run):
        return run.folder
    if not isinstance(run, str | Path):
        raise LikewiseError(
            f"{run!r} was given ({type(run).__name__}) where a run or its folder is expected."
        )
    return RunFolder(run).require()


@checked_arguments()
def doctor(
    data: Any,
    labels: str | None = None,
    console: Console | None = None,
    list_all: bool = False,
    *,
    path_column: str | None = None,
    label_column: str | None = None,
    missing_labels: MissingLabels = "unlabelled",
    pixel_range: tuple[float, float] | None = None,
) -> Findings:
    """Look for what would spoil a run: unusable, tiny and duplicate files, leaks between splits, odd classes.

    Args:
        data: as for `likewise.train`.
        labels: a CSV of paths and labels.
        console: where the findings are printed; None prints nothing.
        list_all: also print every file, and every group of copies, instead of one example of each problem.
        path_column: the column of a CSV that holds the paths, by name, or by number from 1.
        label_column: the column of a CSV, a table or Parquet files that holds the labels.
        missing_labels: what NaN, NA, N/A, None and null mean as a label.
        pixel_range: values of pixels that become black and white; None: found in the set.
    """
    columns = ColumnNames(label_column, path=path_column, missing_labels=missing_labels)
    manifest = open_manifest(
        data, labels, columns=columns, pixel_range=pixel_range, allow_mixed=True
    )
    refuse_unused_range(manifest, pixel_range)
    findings = examine(manifest)
    if console is not None:
        console.print(findings_table(findings))
        for line in findings_list(findings) if list_all else ():
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    return findings
