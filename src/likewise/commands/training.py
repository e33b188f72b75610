"""What comes before a run, and the run: doctor, train, demo."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from likewise.commands.words import DataArgument, parse, spell_out, take_option
from likewise.data.columns.column_names import MissingLabels
from likewise.errors import LikewiseError
from likewise.methods import METHODS, Method, Recipe
from likewise.methods.card import PRESET_NAMES
from likewise.report.method_screens import train_help
from likewise.runs import api
from likewise.runs.defaults import Defaults, defaults_of
from likewise.runs.settings import TrainSettings
from likewise.runs.train_run import run_training
from likewise.runs.verify import run_verification, show

VERIFY_HELP = """Take the first steps of a run in one process and in several (--devices, 2 unless given), and compare
losses, gradients, weights and scores. The options are those of train. Nothing is written; the exit code is 1 where
something differs."""


def train(words: list[str]) -> None:
    """``likewise train DATA --method NAME ...``."""
    name, preset, rest = _method_words(words)
    options = parse(_train_options(defaults_of(name, preset or None)), rest, "likewise train")
    again = [word for word in words if word not in ("--resume", "--overwrite")]
    out = "" if options.settings.out else " --out {out}"
    resume = f"{shlex.join(['likewise', 'train', *again])}{out} --resume"
    method = getattr(options, "method", name)
    run_training(
        options.data, options.settings, method, getattr(options, "recipe", None), Console(), resume
    )


def verify(words: list[str]) -> None:
    """``likewise verify DATA --devices 2`` and the options of ``train``."""
    name, preset, rest = _method_words(words)
    options = parse(
        _train_options(defaults_of(name, preset or None), VERIFY_HELP), rest, "likewise verify"
    )
    method, recipe = getattr(options, "method", name), getattr(options, "recipe", None)
    found = run_verification(options.data, options.settings, method, recipe)
    show(found, method, Console())
    if not found.is_equal:
        raise SystemExit(1)


def _method_words(words: list[str]) -> tuple[str, str, list[str]]:
    """The method's name, its preset, and the words without them.

    Raises:
        LikewiseError: settings of a method or its recipe stand without the method's name.
    """
    name, rest = take_option(spell_out(words), "--method", "auto", ["auto", *METHODS])
    preset, rest = take_option(rest, "--preset", "", PRESET_NAMES)
    own = [word for word in rest if word.startswith(("--method.", "--recipe."))]
    if name == "auto" and own:
        raise LikewiseError(
            f"{own[0]} was given without --method, and each method has its own settings and recipe. Name the method "
            f"too, for instance --method simclr; the first screen of a run says which one the labels chose."
        )
    return name, preset, rest


def _train_options(defaults: Defaults, text: str = "") -> type:
    """The options of ``train``: the run's, and of a method that is named its own and its recipe's.

    Args:
        defaults: of the options.
        text: how help begins, where not as that of ``train``.
    """
    fields: list[Any] = [
        ("data", DataArgument),
        (
            "settings",
            tyro.conf.OmitArgPrefixes[TrainSettings],
            field(default_factory=lambda: defaults.settings),
        ),
    ]
    if isinstance(defaults.method, Method):
        fields += [
            ("method", type(defaults.method), field(default_factory=lambda: defaults.method)),
            ("recipe", Recipe, defaults.recipe),
        ]
    options = make_dataclass("Train", fields, frozen=True)
    options.__doc__ = text or train_help(
        defaults.method, defaults.settings.preset, shutil.get_terminal_size().columns
    )
    return options


@dataclass(frozen=True)
class Doctor:
    """Find files that would spoil a run: unreadable, tiny, duplicate and leaked images."""

    data: DataArgument
    """folder, file or built-in data set"""
    labels: str | None = None
    """a CSV of paths and labels"""
    path_column: str | None = None
    """column of a CSV that holds the paths, by name, or by number from 1 where there is no heading"""
    label_column: str | None = None
    """column of a CSV, a table or Parquet files that holds the labels"""
    missing_labels: MissingLabels = "unlabelled"
    """what NaN, NA, N/A, None and null mean as a label: unlabelled, or a class of that name"""
    pixel_range: tuple[float, float] | None = None
    """values of pixels that become black and white, where they have more than 8 bits; default: found in the set"""
    all: bool = False
    """list every file and every group of copies, a line each, instead of one example of each problem"""


def doctor(words: list[str]) -> None:
    """``likewise doctor DATA``."""
    given = parse(Doctor, words, "likewise doctor")
    options = dict(vars(given))
    api.doctor(options.pop("data"), console=Console(), list_all=options.pop("all"), **options)


@dataclass(frozen=True)
class Demo:
    """Accuracy from a few labels a class on photographs of clothes, with and without pre-training."""

    out: str = "runs/demo"
    """folder for its runs and its page"""
    quick: bool = False
    """fewer label budgets and shorter runs: under two minutes on 2 cores"""
    seed: int = 0
    """seed of weights, order, views and the choice of visible labels"""
    overwrite: bool = False
    """replace an earlier demo in the output folder"""


def demo(words: list[str]) -> None:
    """``likewise demo``."""
    from likewise.demo import run_demo

    given = parse(Demo, words, "likewise demo")
    run_demo(Path(given.out), given.quick, given.seed, given.overwrite, Console())
