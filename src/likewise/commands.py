"""The commands behind the command line: each turns words into settings, calls the API, and prints what came of it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from likewise import api
from likewise.errors import LikewiseError
from likewise.methods import METHODS, Method, Recipe, find_method
from likewise.training.settings import TrainSettings

Positional = tyro.conf.Positional


def train(words: list[str]) -> None:
    """``likewise train DATA --method NAME ...``."""
    name, rest = _take_option(_spell_out(words), "--method", "auto")
    options = _parse(_train_options(name), rest, "likewise train")
    method: str | Method = name if name == "auto" else options.method
    again = [word for word in words if word not in ("--resume", "--overwrite")]
    resume = shlex.join(["likewise", "train", *again]) + ("" if options.settings.out else " --out {out}") + " --resume"
    api.run_training(options.data, options.settings, method, getattr(options, "recipe", None), Console(), resume)


def _train_options(name: str) -> type:
    """The options of ``train`` for a method: the run's, the method's own and its recipe's."""
    fields: list[Any] = [
        ("data", Annotated[str, Positional, tyro.conf.arg(metavar="DATA")]),
        ("settings", tyro.conf.OmitArgPrefixes[TrainSettings], field(default_factory=TrainSettings)),
    ]
    if name != "auto":
        kind = find_method(name)
        fields += [("method", kind, field(default_factory=kind)), ("recipe", Recipe, kind.recipe)]
    options = make_dataclass("Train", fields, frozen=True)
    methods = ", ".join(["auto", *METHODS])
    options.__doc__ = (
        f"Learn from images and however many labels.\n\n--method NAME chooses one of {methods}; with a name, "
        f"--help lists its own settings too.\n\nArgs:\n"
        f"    data: folder, Parquet or CSV file, array file, or fashion-mnist, fashion-mnist-mini, fashion-pairs"
    )
    return options


@dataclass(frozen=True)
class Evaluate:
    """Score a run's encoder beside an untrained one of the same shape."""

    run: Positional[str]
    """the run's folder"""
    data: str | None = None
    """images to score on; default: what the run was trained on"""
    labels: str | None = None
    """of other data: none, all, 10 (a class), 1%, or a CSV of image_path,label"""
    fine_tune: bool = False
    """also train the whole network further on the labels shown, from here and from the baselines (minutes)"""


def evaluate(words: list[str]) -> None:
    """``likewise evaluate RUN``."""
    given = _parse(Evaluate, words, "likewise evaluate")
    api.load(given.run).evaluate(given.data, given.labels, given.fine_tune, Console())


@dataclass(frozen=True)
class Embed:
    """Images to vectors; or the lines of a text file, for a run that learned from captions."""

    run: Positional[str]
    """the run's folder"""
    data: Positional[str]
    """folder, file or named set; or a .txt file, a text a line"""
    out: str = "vectors.parquet"
    """where to write id, label and vector of each image"""
    overwrite: bool = False
    """replace the file if it is there"""


def embed(words: list[str]) -> None:
    """``likewise embed RUN DATA --out vectors.parquet``."""
    given = _parse(Embed, words, "likewise embed")
    run = api.load(given.run)
    vectors = run.embed_text(_lines(given.data)) if given.data.endswith(".txt") else run.embed(given.data)
    vectors.save(given.out, overwrite=given.overwrite)
    print(f"{len(vectors.ids):,} vectors of {vectors.vectors.shape[1]} numbers -> {given.out}")


@dataclass(frozen=True)
class Search:
    """The images most like a given one, or described best by a text."""

    run: Positional[str]
    """the run whose encoder made the vectors"""
    query: Positional[str | None] = None
    """an image file"""
    text: str | None = None
    """a description, instead of an image; for a run that learned from captions"""
    in_: Annotated[str, tyro.conf.arg(name="in")] = "vectors.parquet"
    """what `likewise embed` wrote"""
    count: int = 10
    """how many to list"""


def search(words: list[str]) -> None:
    """``likewise search RUN query.jpg --in vectors.parquet``, or ``--text "a dog in snow"`` for the image."""
    given = _parse(Search, words, "likewise search")
    if (given.query is None) == (given.text is None):
        raise LikewiseError('Give one of the two: an image file, or a description as in --text "a dog in snow".')
    table, run = Table("cosine", "image", "label"), api.load(given.run)
    ask, query = (run.search, given.query) if given.text is None else (run.search_text, given.text)
    for match in ask(query, given.in_, given.count):
        table.add_row(f"{match.cosine:.3f}", match.id, match.label)
    Console().print(table)


@dataclass(frozen=True)
class Report:
    """Write a run's page again, from what lies in its folder."""

    run: Positional[str]
    """the run's folder"""


def report(words: list[str]) -> None:
    """``likewise report RUN``."""
    print(api.load(_parse(Report, words, "likewise report").run).report())


@dataclass(frozen=True)
class Compare:
    """Several runs on one page."""

    runs: Positional[tuple[str, ...]]
    """two or more folders; the first is what the others are measured against"""
    out: str = "compare.html"
    """the page"""
    score: str | None = None
    """the online score that the curves are drawn of; default: one that all runs have"""
    allow_unlike: bool = False
    """compare scores that were taken by different protocols, which says little"""


def compare(words: list[str]) -> None:
    """``likewise compare RUN RUN ...``."""
    given = _parse(Compare, words, "likewise compare")
    api.compare(given.runs, given.out, given.score, given.allow_unlike, Console())


@dataclass(frozen=True)
class Doctor:
    """Look for what would spoil a run."""

    data: Positional[str]
    """folder, file or named set"""
    labels: str | None = None
    """a CSV of image_path,label"""


def doctor(words: list[str]) -> None:
    """``likewise doctor DATA``."""
    given = _parse(Doctor, words, "likewise doctor")
    api.doctor(given.data, given.labels, Console())


@dataclass(frozen=True)
class Export:
    """The encoder as files for other tools."""

    run: Positional[str]
    """the run's folder"""
    to: Literal["safetensors", "timm", "onnx"] = "safetensors"
    """safetensors: the whole encoder; timm: weights that timm.create_model loads; onnx: a graph, checked"""
    out: str | None = None
    """where to write; default: encoder.<kind> beside the run's other files"""


def export(words: list[str]) -> None:
    """``likewise export RUN --to timm``."""
    given = _parse(Export, words, "likewise export")
    print(api.load(given.run).export(given.to, given.out))


@dataclass(frozen=True)
class Demo:
    """What do a few labels a class buy on real photographs of clothes, and what does pre-training?"""

    out: str = "runs/demo"
    """the folder of its runs and its page"""
    quick: bool = False
    """fewer budgets and shorter runs: under two minutes on 2 cores"""
    seed: int = 0
    """of everything that is drawn"""
    overwrite: bool = False
    """replace an earlier demo"""


def demo(words: list[str]) -> None:
    """``likewise demo``."""
    from likewise.demo import run_demo

    given = _parse(Demo, words, "likewise demo")
    run_demo(Path(given.out), given.quick, given.seed, given.overwrite, Console())


def methods(words: list[str]) -> None:
    """``likewise methods``."""
    _parse(dataclass(frozen=True)(type("Methods", (), {"__doc__": "What each method is."})), words, "likewise methods")
    table = Table("method", "needs", "what it does", "paper", title="--method auto chooses by the labels there are")
    for name, kind in METHODS.items():
        table.add_row(name, kind.needs, kind.idea, kind.paper)
    Console().print(table)


def _lines(file: str) -> list[str]:
    """The lines of a text file that are not blank."""
    try:
        return [line.strip() for line in Path(file).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise LikewiseError(f"The text file {file} cannot be read: {error}.") from error


def _parse(kind: Any, words: list[str], program: str) -> Any:
    return tyro.cli(kind, args=words, prog=program)


def _take_option(words: list[str], option: str, default: str) -> tuple[str, list[str]]:
    """An option's value, and the words without it: it decides which other options there are."""
    rest, value = [], default
    remaining = iter(words)
    for word in remaining:
        if word == option:
            value = next(remaining, "")
            if not value or value.startswith("-"):
                raise LikewiseError(f"{option} needs a name: auto, {', '.join(METHODS)}.")
        elif word.startswith(option + "="):
            value = word.partition("=")[2]
        else:
            rest.append(word)
    return value, rest


def _spell_out(words: list[str]) -> list[str]:
    """``--pretrained`` alone is timm's weights; ``--from`` is no Python name; ``key=value`` is ``--key value``."""
    spelt: list[str] = []
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else "--"
        name, equals, value = word.partition("=")
        if name == "--from":
            spelt.append("--from-run" + equals + value)
        elif word == "--pretrained" and following.startswith("--"):
            spelt += [word, "timm"]
        elif equals and not word.startswith("-") and name.replace("_", "").isalpha() and not Path(word).exists():
            spelt += [f"--{name.replace('_', '-')}", value]
        else:
            spelt.append(word)
    return spelt
