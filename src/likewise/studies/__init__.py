"""Studies: a paper's explanation of why something works, simulated in seconds, with its claims as inequalities."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Column, Table

from likewise.errors import LikewiseError, did_you_mean
from likewise.run_folder import make_folder, write_json
from likewise.studies import feature_decoupling
from likewise.studies.decoupling_page import COLUMNS, spread, write_decoupling_page
from likewise.studies.feature_decoupling import CASES, Decoupling
from likewise.training.launch import machine

__all__ = ["STUDIES", "Decoupling", "study"]


class Study(NamedTuple):
    """What a study asks, and of which paper."""

    asks: str
    paper: str
    takes: str


STUDIES = {
    "feature-decoupling": Study(
        "why contrastive learning needs augmentation: which features do neurons learn with and without it?",
        "Wen & Li 2021, https://arxiv.org/abs/2105.15134",
        "half a minute",
    )
}
"""By the name to type."""


def study(
    name: str, seed: int = 0, out: str | Path | None = None, overwrite: bool = False, console: Console | None = None
) -> Decoupling:
    """Run a study: its figures, its inequalities, and whether they hold.

    Args:
        name: a key of `STUDIES`.
        seed: the first of its three seeds.
        out: the folder for its page and its ``study.json``; None writes nothing.
        overwrite: replace what an earlier study wrote there.
        console: where the tables are printed; None prints nothing.

    Raises:
        LikewiseError: there is no such study, or the folder holds something and ``overwrite`` is not set.
        MachineError: the folder cannot be written.
    """
    if name not in STUDIES:
        raise LikewiseError(f"There is no study {name!r}. {did_you_mean(name, STUDIES)}")
    console = console or Console(quiet=True)
    folder = None if out is None else Path(out)
    if folder is not None:
        make_folder(folder, ("study.json", "study.html"), overwrite)
    found = feature_decoupling.run(seed)
    _show(found, console)
    if folder is not None:
        environment = {"machine": machine(), "torch": version("torch"), "python": platform.python_version()}
        write_json(folder / "study.json", {"study": name, "environment": environment, **found.to_json()})
        page = write_decoupling_page(found, folder / "study.html", environment)
        console.print(f"\npage  {page}", highlight=False, soft_wrap=True)
    console.print(f"took  {found.seconds:.0f} s", highlight=False)
    return found


def _show(found: Decoupling, console: Console) -> None:
    numbers = Table(
        Column("neurons", no_wrap=True), *COLUMNS.values(), title=f"Lowest to highest over seeds {found.seeds}"
    )
    for name, outcomes in found.cases.items():
        numbers.add_row(CASES[name].title, *[spread([getattr(each, key) for each in outcomes]) for key in COLUMNS])
    inequalities = Table("what was to be shown, for every seed", "at least", "measured", "verdict")
    for claim in found.claims:
        measured = ", ".join(f"{each:.2f}" for each in claim.measured)
        inequalities.add_row(claim.says, f"{claim.wanted:.2f}", measured, "held" if claim.held else "failed")
    console.print(numbers)
    console.print(inequalities)
    console.print(f"\n{found.sentence}", highlight=False)
