"""What papers propose, claim and explain: methods, reproduce, study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table

from likewise.commands.words import Positional, parse
from likewise.methods import find_method, method_name
from likewise.report.method_screens import method_screen, methods_screen


@dataclass(frozen=True)
class Reproduce:
    """Test a published claim at small scale; the same command continues an interrupted one."""

    claim: Annotated[str, Positional, tyro.conf.arg(metavar="CLAIM")]
    """the claim's name; `likewise reproduce` without one lists them"""
    seeds: tuple[int, ...] | None = None
    """random seeds to train with; default: the claim's, mostly 0 1 2"""
    data: str | None = None
    """another data set than the claim's"""
    steps_share: float = 1.0
    """share of the claim's steps to train for, for instance 0.05; below 1 the outcome is no evidence"""
    out: str | None = None
    """folder of the runs, the outcome and the page; default: runs/claims/<claim>"""
    keep: str | None = None
    """a second folder to store the outcome in, as evidence: evidence/claims"""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """device to compute on"""
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
    given = parse(Reproduce, words, "likewise reproduce")
    check(**vars(given), console=Console())


@dataclass(frozen=True)
class StudyCommand:
    """A paper's explanation of why something works, simulated in seconds; without a name, which ones there are."""

    name: Annotated[str, Positional, tyro.conf.arg(metavar="[NAME]", help_behavior_hint="")] = ""
    """name of the study, for instance feature-decoupling; without one, the studies are listed"""
    seed: int = 0
    """first of the study's seeds"""
    out: str | None = None
    """folder for its page and its figures; default: runs/studies/<name>"""
    overwrite: bool = False
    """replace what an earlier study wrote there"""


def study(words: list[str]) -> None:
    """``likewise study NAME``."""
    from likewise.studies import STUDIES
    from likewise.studies import study as run_study

    given = parse(StudyCommand, words, "likewise study")
    if given.name:
        run_study(
            given.name,
            given.seed,
            given.out or f"runs/studies/{given.name}",
            given.overwrite,
            Console(),
        )
        return
    table = Table("study", "question", "paper", "duration", title="likewise study NAME")
    for name, kind in STUDIES.items():
        table.add_row(name, kind.question, kind.paper, kind.duration)
    Console().print(table)


@dataclass(frozen=True)
class Methods:
    """What each method is and when to choose it; with a name, that method with its settings and presets."""

    name: Annotated[
        str | None, Positional, tyro.conf.arg(metavar="[NAME]", help_behavior_hint="")
    ] = None
    """name of a method; without one, all are listed"""


def methods(words: list[str]) -> None:
    """``likewise methods``, ``likewise methods NAME``."""
    name = parse(Methods, words, "likewise methods").name
    if name is None:
        Console().print(methods_screen())
        return
    kind = find_method(name)
    Console().print(method_screen(method_name(kind()), kind))
