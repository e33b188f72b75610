"""Studies: a paper's explanation of why something works, simulated in seconds, with its claims as inequalities."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from likewise.errors import LikewiseError, did_you_mean
from likewise.field_types import SEED, checked_arguments
from likewise.json_files import write_json
from likewise.randomness import restored_rng
from likewise.run_folder import make_folder
from likewise.studies import feature_decoupling, ugan_toy
from likewise.studies.decoupling_page import neurons_table, write_decoupling_page
from likewise.studies.feature_decoupling import Decoupling
from likewise.studies.inequalities import StudyResult
from likewise.studies.ugan_page import errors_table, write_ugan_page
from likewise.studies.ugan_toy import Toy
from likewise.training.launch import machine

__all__ = ["STUDIES", "Decoupling", "StudyResult", "Toy", "study"]


class Study(NamedTuple):
    """A study: its question, its paper, and how it is run, printed and written."""

    question: str
    paper: str
    duration: str
    run: Callable[[int], Any]
    """from the first seed to the results"""
    table: Callable[[Any], Table]
    page: Callable[[Any, Path, Mapping[str, str]], Path]


STUDIES = {
    "feature-decoupling": Study(
        "Why does contrastive learning need augmentation: which features do neurons learn with and without it?",
        "Wen & Li 2021, https://arxiv.org/abs/2105.15134",
        "half a minute",
        lambda seed: feature_decoupling.run(seed),
        neurons_table,
        write_decoupling_page,
    ),
    "ugan-toy": Study(
        "Do generated points of each class and generated points of no class train a better classifier together?",
        "Li et al. 2019, reconstructed from https://arxiv.org/abs/1703.02291 and https://arxiv.org/abs/1705.09783",
        "four minutes",
        lambda seed: ugan_toy.run(seed),
        errors_table,
        write_ugan_page,
    ),
}
"""the studies by name"""


@checked_arguments(seed=SEED)
@restored_rng()
def study(
    name: str,
    seed: int = 0,
    out: str | Path | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> StudyResult:
    """Run a study: its measurements, its inequalities, and whether they hold.

    Args:
        name: a key of `STUDIES`.
        seed: the first of its seeds.
        out: folder of its page and its ``study.json``; None writes nothing.
        overwrite: replace an earlier study in ``out``.
        console: where the tables are printed; None prints nothing.

    Raises:
        LikewiseError: there is no such study, or the folder is not empty and ``overwrite`` is not set.
        EnvironmentIOError: the folder cannot be written.
    """
    if name not in STUDIES:
        raise LikewiseError(f"There is no study {name!r}. {did_you_mean(name, STUDIES)}")
    kind, console = STUDIES[name], console or Console(quiet=True)
    folder = None if out is None else Path(out)
    if folder is not None:
        make_folder(folder, ("study.json", "study.html"), overwrite)
    found: StudyResult = kind.run(seed)
    _show(found, kind.table(found), console)
    if folder is not None:
        environment = {
            "machine": machine(),
            "torch": version("torch"),
            "python": platform.python_version(),
        }
        write_json(
            folder / "study.json", {"study": name, "environment": environment, **found.to_json()}
        )
        page = kind.page(found, folder / "study.html", environment)
        console.print(f"\npage  {page}", highlight=False, soft_wrap=True)
    console.print(f"took  {found.seconds:.0f} s", highlight=False)
    return found


def _show(found: StudyResult, numbers: Table, console: Console) -> None:
    inequalities = Table("inequality", "at least", "measured", "verdict")
    for claim in found.claims:
        measured = ", ".join(f"{each:.3g}" for each in claim.measured)
        inequalities.add_row(
            claim.says, f"{claim.wanted:.2f}", measured, "held" if claim.held else "failed"
        )
    console.print(numbers)
    console.print(inequalities)
    console.print(f"\n{found.sentence}", highlight=False)
