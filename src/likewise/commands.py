"""The commands behind the command line: each turns words into settings, calls the API, and prints what came of it."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from likewise import api
from likewise.data.captions import lines_of
from likewise.errors import LikewiseError
from likewise.methods import METHODS, Method, Recipe, find_method
from likewise.methods.preset import NAMES
from likewise.report.method_screens import method_screen, methods_screen, train_help
from likewise.training.settings import TrainSettings
from likewise.training.start import Start, start_of

Positional = tyro.conf.Positional


def train(words: list[str]) -> None:
    """``likewise train DATA --method NAME ...``."""
    name, rest = _take_option(_spell_out(words), "--method", "auto", ["auto", *METHODS])
    preset, rest = _take_option(rest, "--preset", "", NAMES)
    start = start_of(name, preset or None)
    options = _parse(_train_options(start), rest, "likewise train")
    again = [word for word in words if word not in ("--resume", "--overwrite")]
    resume = shlex.join(["likewise", "train", *again]) + ("" if options.settings.out else " --out {out}") + " --resume"
    method = getattr(options, "method", name)
    api.run_training(options.data, options.settings, method, getattr(options, "recipe", None), Console(), resume)


def _train_options(start: Start) -> type:
    """The options of ``train``: the run's, and of a method that is named its own and its recipe's."""
    fields: list[Any] = [
        ("data", Annotated[str, Positional, tyro.conf.arg(metavar="DATA")]),
        ("settings", tyro.conf.OmitArgPrefixes[TrainSettings], field(default_factory=lambda: start.settings)),
    ]
    if isinstance(start.method, Method):
        fields += [
            ("method", type(start.method), field(default_factory=lambda: start.method)),
            ("recipe", Recipe, start.recipe),
        ]
    options = make_dataclass("Train", fields, frozen=True)
    options.__doc__ = train_help(start, shutil.get_terminal_size().columns)
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
    masks: str | None = None
    """of other data: folder of PNG masks; default: the column "mask" of Parquet files"""
    void: int = 255
    """of other data: the value in masks of pixels that belong to no class"""
    fine_tune: bool = False
    """also train the whole network further on the labels shown, from here and from the baselines (minutes)"""
    corruptions: bool = False
    """also ask for the classes of corrupted test images: 15 kinds at 5 severities (a minute)"""
    full_bank: bool = False
    """of a run with --imbalance: neighbours and probes learn from the images that it left out too"""
    neighbours: int = 20  # nearest training images that vote


def evaluate(words: list[str]) -> None:
    """``likewise evaluate RUN``."""
    given = dict(vars(_parse(Evaluate, words, "likewise evaluate")))
    api.load(given.pop("run")).evaluate(**given, console=Console())


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
    vectors = run.embed_text(lines_of(Path(given.data))) if given.data.endswith(".txt") else run.embed(given.data)
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


@dataclass(frozen=True)
class Reproduce:
    """Check a published claim at small scale; an interrupted one goes on by the same command."""

    claim: Positional[str]
    """which one; `likewise reproduce` alone lists them"""
    seeds: tuple[int, ...] | None = None
    """of weights, order, views and label draws; default: the claim's, mostly 0 1 2"""
    data: str | None = None
    """learn from other images than the claim's"""
    steps_share: float = 1.0
    """train for this share of the claim's steps, for a look: 0.05"""
    out: str | None = None
    """the folder of its runs, outcome and page; default: runs/claims/<claim>"""
    keep: str | None = None
    """a folder that is given the outcome too, as evidence: evidence/claims"""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """where to compute"""
    overwrite: bool = False
    """replace an earlier reproduction in the output folder"""


def reproduce(words: list[str]) -> None:
    """``likewise reproduce [CLAIM]``."""
    from likewise.claims import CLAIMS
    from likewise.claims.reproducing import reproduce as check
    from likewise.claims.screens import claims_table

    if not words:
        Console().print(claims_table(CLAIMS, Path("evidence") / "claims"))
        return
    given = _parse(Reproduce, words, "likewise reproduce")
    check(
        given.claim, given.seeds, given.data, given.steps_share, given.out, given.keep, given.overwrite, given.device,
        Console(),
    )  # fmt: skip


@dataclass(frozen=True)
class Study:
    """A paper's explanation of why something works, simulated in seconds; without a name, which ones there are."""

    name: Positional[str] = ""
    """which one, for instance feature-decoupling"""
    seed: int = 0
    """the first of its three seeds"""
    out: str | None = None
    """the folder for its page and its figures; default: runs/studies/<name>"""
    overwrite: bool = False
    """replace what an earlier study wrote there"""


def study(words: list[str]) -> None:
    """``likewise study NAME``."""
    from likewise.studies import STUDIES
    from likewise.studies import study as run_study

    given = _parse(Study, words, "likewise study")
    if given.name:
        run_study(given.name, given.seed, given.out or f"runs/studies/{given.name}", given.overwrite, Console())
        return
    table = Table("study", "asks", "paper", "takes", title="likewise study NAME")
    for name, kind in STUDIES.items():
        table.add_row(name, kind.asks, kind.paper, kind.takes)
    Console().print(table)


@dataclass(frozen=True)
class Methods:
    """What each method is and when to choose it; with a name, that method with its settings and presets."""

    name: Positional[str | None] = None
    """one of them"""


def methods(words: list[str]) -> None:
    """``likewise methods``, ``likewise methods NAME``."""
    name = _parse(Methods, words, "likewise methods").name
    if name is None:
        return Console().print(methods_screen())
    kind = find_method(name)
    Console().print(method_screen(next(known for known in METHODS if METHODS[known] is kind), kind))


def _parse(kind: Any, words: list[str], program: str) -> Any:
    return tyro.cli(kind, args=words, prog=program)


def _take_option(words: list[str], option: str, default: str, known: Sequence[str]) -> tuple[str, list[str]]:
    """An option's value, and the words without it: it decides which other options there are."""
    rest, value = [], default
    remaining = iter(words)
    for word in remaining:
        if word == option:
            value = next(remaining, "")
            if not value or value.startswith("-"):
                raise LikewiseError(f"{option} needs a name: {', '.join(known)}.")
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
