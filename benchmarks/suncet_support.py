"""How large SuNCEt's support batch should be: CIFAR-10 (JPEG) on a CPU, small and large batches, three seeds.

python benchmarks/suncet_support.py --data FOLDER --minutes 80

Every run forwards equally many views, those of the support included (Assran et al. 2020,
https://arxiv.org/abs/2006.10803). SimCLR, SuNCEt with a support of 45 % and of 22 % of the views, with 8 images of
each class, and with 45 % for half of the run; SupCon and cross-entropy on the labelled images alone. 10 % and 1 % of
the labels; batches of 512 and of 128 images. Learning rates were chosen for SimCLR and for the controls with another
seed and conv4, and SuNCEt takes SimCLR's. ``benchmarks/records_on_gpu.py --parts support`` does the same on a GPU.

The rule of the choice, written before the first run. The score is the accuracy of 200 neighbours on validation images
at the end, minus SimCLR's with the same seed and batch size, averaged over both budgets and both batch sizes. Another
share takes the place of 45 % if its score is higher with every seed, and higher by half a point on average. The same
holds of half of the run, by the batches of 512. Where the chosen support is behind SimCLR, the page says so.

What was run stands in --runs and is not run again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import records_on_gpu as records
import torch
import tyro
from gpu import cifar
from gpu.tables import spread
from measuring import Claim, Table, keep

from likewise.methods.cross_entropy import CrossEntropy
from likewise.methods.simclr import SimCLR
from likewise.methods.supcon import SupCon
from likewise.report.speed_up import first_crossing

DEFAULT, HALF_AS_MANY, CONSTANT = "SuNCEt 0.45", "SuNCEt 0.22", "SuNCEt 8 a class"
HALF_OF_RUN = "SuNCEt 0.45, half the run"
STAGES = (
    ((512, (DEFAULT, HALF_AS_MANY)), (128, (DEFAULT, HALF_AS_MANY))),
    ((512, (CONSTANT,)), (128, ("SupCon", "cross-entropy"))),
    ((512, (HALF_OF_RUN,)),),
    ((128, (CONSTANT, HALF_OF_RUN)),),
)
"""Batch sizes and methods; all seeds of a stage come before the next stage."""
RATES = {512: 0.02, 128: 0.06}
"""Of SGD for 256 images, of SimCLR and of SuNCEt by the batch size."""
CONTROL_RATES = {SupCon: 0.2, CrossEntropy: 0.2}


@dataclass(frozen=True)
class Settings:
    """What to run."""

    data: Path
    """folder with cifar10-jpeg75-train.parquet and cifar10-jpeg75-test.parquet"""
    minutes: float = 80.0
    """after which no further run is begun"""
    runs: Path = Path("suncet_support_runs.json")
    """the file of what was run"""
    million_views: float = 0.12
    """of each run"""
    seeds: int = 3
    """0, 1, ..."""
    encoder: str = "conv4-half"
    """network"""
    images: int | None = None
    """of each file; all if None"""
    bank: int = 5000
    """training images among which neighbours are sought"""


class Turn(NamedTuple):
    """One run."""

    seed: int
    batch: int
    each: int
    """labels of each class; 0 without"""
    method: str


def turns(seeds: int, budgets: list[int]) -> Iterator[Turn]:
    """All runs in their order."""
    for stage in STAGES:
        for seed, (batch, methods) in product(range(seeds), stage):
            yield Turn(seed, batch, 0, "SimCLR")
            for each, method in product(budgets, methods):
                yield Turn(seed, batch, each, method)


def take(session: records.Session, turn: Turn) -> None:
    """Run it, unless it was run."""
    about = {
        "method": turn.method,
        "labels a class": turn.each,
        "seed": turn.seed,
        "batch": turn.batch,
    }
    if any(about.items() <= line.items() for line in session.found["support"]):
        return
    if turn.method == "SimCLR":
        method: Any = SimCLR(views=records.VIEWS)
    else:
        method = records.arms(turn.batch, turn.each)[turn.method]
    run = records.arm(turn.method, method, turn.seed)
    rate = CONTROL_RATES.get(type(method), RATES[turn.batch])
    run = replace(run, batch=turn.batch, recipe=replace(run.recipe, learning_rate=rate))
    session.settings = replace(session.settings, batch=turn.batch)
    work = partial(records.support_run, session, run, turn.each, turn.seed, turn.method)
    session.attempt("support", work)


def cell(found: dict[str, Any], batch: int, each: int, method: str) -> dict[int, dict[str, Any]]:
    """Runs by seed."""
    wanted = {"method": method, "labels a class": each, "batch": batch}.items()
    return {line["seed"]: line for line in found["support"] if wanted <= line.items()}


def last(line: dict[str, Any], score: str = "knn") -> float:
    """Percent on validation images at the end."""
    return 100 * line["curve"][-1][score]


def ahead(found: dict[str, Any], batch: int, each: int, method: str) -> dict[int, float]:
    """Points ahead of SimCLR by neighbours, by seed."""
    plain = cell(found, batch, 0, "SimCLR")
    ours = cell(found, batch, each, method)
    return {seed: last(line) - last(plain[seed]) for seed, line in ours.items() if seed in plain}


def views_to_reach(found: dict[str, Any], batch: int, each: int, method: str) -> list[float]:
    """Views until SimCLR's last accuracy, as a share of SimCLR's, by seed."""
    plain, shares = cell(found, batch, 0, "SimCLR"), []
    for seed, line in cell(found, batch, each, method).items():
        spent: list[float] = []
        for curve in (line["curve"], plain[seed]["curve"]):
            views, scores = [look["views"] for look in curve], [look["knn"] for look in curve]
            crossing = first_crossing(views, scores, plain[seed]["curve"][-1]["knn"])
            spent.append(crossing.cost if crossing else float("inf"))
        shares.append(spent[0] / spent[1])
    return shares


def row(found: dict[str, Any], batch: int, each: int, method: str) -> list[str]:
    """A line of a table; none where nothing was run. SimCLR's run is the same for all budgets."""
    is_plain = method == "SimCLR"
    lines = list(cell(found, batch, 0 if is_plain else each, method).values())
    if not lines:
        return []
    share = 1.0 if is_plain else median(views_to_reach(found, batch, each, method))
    budget = f"{each} labels a class"
    return [
        budget,
        method,
        str(lines[0]["support"]),
        spread([last(line) for line in lines]),
        "" if is_plain else spread(list(ahead(found, batch, each, method).values()), "+"),
        f"{share:.2f}" if share < float("inf") else "not reached",
        spread([last(line, f"knn of {budget}") for line in lines]),
        spread([100 * line["validation"][f"linear of {budget}"] for line in lines]),
        spread([100 * line["test"]["knn"] for line in lines]),
        str(len(lines)),
    ]


COLUMNS = (
    "labels",
    "method",
    "support rows",
    "neighbours",
    "points ahead of SimCLR",
    "views to SimCLR's last accuracy",
    "neighbours among the labelled",
    "linear classifier on the labelled",
    "neighbours, test images",
    "seeds",
)
METHODS = ("SimCLR", DEFAULT, HALF_AS_MANY, CONSTANT, HALF_OF_RUN, "SupCon", "cross-entropy")


def table(found: dict[str, Any], batch: int) -> Table:
    """Of a batch size."""
    rows = [row(found, batch, each, method) for each in budgets(found) for method in METHODS]
    title = f"Accuracy at equal views, percent on validation images, batches of {batch}"
    notes = [
        "Mean and standard deviation over seeds; points ahead are of the same seed. Views to SimCLR's last accuracy "
        "are a share of SimCLR's, median of the seeds.",
        "SupCon and cross-entropy see the labelled images alone.",
    ]
    return Table(title, COLUMNS, [each for each in rows if each], notes)


def budgets(found: dict[str, Any]) -> list[int]:
    """Labels of each class, most first."""
    return sorted({line["labels a class"] for line in found["support"]} - {0}, reverse=True)


def score(found: dict[str, Any], method: str, batches: tuple[int, ...]) -> dict[int, float]:
    """Mean points ahead of SimCLR over budgets and batch sizes, of each seed that has all of them."""
    cells = [ahead(found, batch, each, method) for batch in batches for each in budgets(found)]
    seeds = set.intersection(*(set(each) for each in cells))
    return {seed: fmean([each[seed] for each in cells]) for seed in sorted(seeds)}


def choice(found: dict[str, Any]) -> Table:
    """The rule's scores."""
    lines = Table(
        "Points ahead of SimCLR, mean of both budgets", ["method", "batches", "by seed", "mean"]
    )
    both, large = (512, 128), (512,)
    for method, batches in (
        (DEFAULT, both), (HALF_AS_MANY, both), (CONSTANT, both), (HALF_OF_RUN, both),
        (DEFAULT, large), (HALF_AS_MANY, large), (CONSTANT, large), (HALF_OF_RUN, large),
    ):  # fmt: skip
        values = list(score(found, method, batches).values())
        if values:
            by_seed = ", ".join(f"{value:+.1f}" for value in values)
            sizes = " and ".join(str(batch) for batch in batches)
            lines.rows.append([method, sizes, by_seed, f"{fmean(values):+.1f}"])
    lines.notes.append(
        "The rule, written before the first run: another share takes the place of 0.45 if it is higher with every "
        "seed, and by half a point on average."
    )
    return lines


def claims(found: dict[str, Any]) -> list[Claim]:
    """That the default helps, by budget and batch size."""
    made: list[Claim] = []
    for batch in (512, 128):
        for each in budgets(found):
            values = list(ahead(found, batch, each, DEFAULT).values())
            measured = fmean(values) if values else None
            claim = (
                f"{DEFAULT} at least as accurate as SimCLR, batch {batch}, {each} labels a class"
            )
            made.append(Claim(claim, 0, measured, note=f"(points; {len(values)} seeds)"))
    return made


def main(settings: Settings) -> None:
    """Run what fits, then the result's file."""
    torch.set_num_threads(1)
    start = time.monotonic()
    device = torch.device("cpu")
    runs = json.loads(settings.runs.read_text())["support"] if settings.runs.exists() else []
    found = {"about": {}, "support": runs}
    session = records.Session(
        records.Settings(
            settings.data, settings.minutes, settings.runs, million_views=settings.million_views,
            encoder=settings.encoder, device="cpu", looks=3, bank=settings.bank,
        ),
        cifar.opened(settings.data, device, settings.images),
        start + 60 * settings.minutes,
        found,
    )  # fmt: skip
    try:
        for turn in turns(settings.seeds, records.budgets_of(session.data.train)):
            take(session, turn)
    except records.OutOfTime:
        print("out of time")
    keep(
        "suncet_support",
        "SuNCEt's support batch, on a CPU",
        [choice(found), table(found, 512), table(found, 128)],
        claims(found),
        encoder=settings.encoder,
        million_views=settings.million_views,
    )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
