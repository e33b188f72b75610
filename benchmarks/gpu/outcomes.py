"""What whole runs on a GPU say of the claims that `likewise reproduce` tests at small scale."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import stdev
from typing import Any, cast

from measuring import versions

from likewise.claims import Statement
from likewise.claims.outcome import judge, overall
from likewise.report.speed_up import first_crossing

DATA = "CIFAR-10 (JPEG)"


@dataclass(frozen=True)
class Results:
    """What was found with one seed."""

    found: dict[str, Any]
    """the content of the result's file"""
    seed: int

    def of(self, part: str, method: str, **settings: Any) -> dict[str, Any]:
        """A run.

        Raises:
            LookupError: it was not run.
        """
        wanted = {"method": method, "seed": self.seed, **settings}
        for line in self.found.get(part, []):
            if all(line.get(name) == value for name, value in wanted.items()):
                return line
        raise LookupError(wanted)

    def test(self, score: str, part: str, method: str, **settings: Any) -> float:
        """A score on test images."""
        return self.of(part, method, **settings)["test"][score]

    def ahead(self, score: str, part: str, first: str, second: str, **settings: Any) -> float:
        """The score of the first method minus that of the second."""
        both = [self.test(score, part, name, **settings) for name in (first, second)]
        return both[0] - both[1]


def suncet(found: dict[str, Any], labels: int) -> str:
    """The support that was best on validation images, by the mean of the seeds."""
    last: dict[str, list[float]] = {}
    for line in found.get("support", []):
        if line.get("labels a class") == labels and line["method"].startswith("SuNCEt"):
            last.setdefault(line["method"], []).append(line["curve"][-1]["knn"])
    if not last:
        raise LookupError("no SuNCEt")
    return max(last, key=lambda name: sum(last[name]) / len(last[name]))


def budgets(found: dict[str, Any]) -> tuple[int, int]:
    """Labels of each class: of 1 % and of 10 %."""
    labels = {line.get("labels a class", 0) for line in found.get("support", [])} - {0}
    if len(labels) != 2:
        raise LookupError("not both budgets")
    return min(labels), max(labels)


def suncet_ahead(place: int, results: Results) -> float:
    """SuNCEt's neighbours minus SimCLR's, on test images."""
    labels = budgets(results.found)[place]
    name = suncet(results.found, labels)
    ours = results.test("knn", "support", name, **{"labels a class": labels})
    return ours - results.test("knn", "support", "SimCLR")


def suncet_share(cost: str, place: int, results: Results) -> float:
    """Epochs, seconds or views until SimCLR's last accuracy on validation images, over those of SimCLR."""
    labels = budgets(results.found)[place]
    name = suncet(results.found, labels)
    simclr = results.of("support", "SimCLR")["curve"]
    ours = results.of("support", name, **{"labels a class": labels})["curve"]
    spent: list[float] = []
    for curve in (ours, simclr):
        costs, scores = [look[cost] for look in curve], [look["knn"] for look in curve]
        crossing = first_crossing(costs, scores, simclr[-1]["knn"])
        if crossing is None:
            return float("inf")
        spent.append(crossing.cost)
    return spent[0] / spent[1]


def isd_rare(results: Results) -> float:
    """ISD's accuracy on rare classes minus MoCo v2's."""
    return results.ahead("rare", "isd", "ISD", "MoCo v2")


def isd_rare_more(results: Results) -> float:
    """The same, minus what it is on frequent classes."""
    return isd_rare(results) - results.ahead("frequent", "isd", "ISD", "MoCo v2")


def comatch(labels: int, results: Results) -> float:
    """CoMatch's accuracy minus FixMatch's."""
    settings = {"labels a class": labels}
    return results.ahead("classifier", "comatch", "CoMatch", "FixMatch", **settings)


def corrupted(results: Results) -> float:
    """SupCon's accuracy on corrupted images minus cross-entropy's."""
    return results.ahead("corrupted", "robustness", "SupCon", "cross-entropy", rate=1.0)


def lost(results: Results) -> float:
    """What SupCon loses on corrupted images minus what cross-entropy loses."""
    return results.ahead("linear", "robustness", "SupCon", "cross-entropy", rate=1.0) - corrupted(
        results
    )


def spread(results: Results) -> float:
    """The standard deviation over learning rates, SupCon's minus cross-entropy's."""
    part = results.found.get("robustness", [])
    rates = sorted({line["rate"] for line in part if "rate" in line})
    if len(rates) < 2:
        raise LookupError("not two rates")
    both: list[float] = []
    for name in ("SupCon", "cross-entropy"):
        both.append(
            stdev([results.test("linear", "robustness", name, rate=rate) for rate in rates])
        )
    return both[0] - both[1]


def out_or_in(results: Results) -> float:
    """L_out's linear accuracy minus L_in's."""
    return results.ahead("linear", "out-or-in", "L_out", "L_in")


def statement(
    sentence: str,
    value: Callable[[Results], float],
    relation: str,
    bound: float,
    unit: str = "points",
) -> Statement:
    """An inequality; the median of the seeds where a value may be infinite."""
    over_seeds = "median" if unit == "share" else "mean"
    return Statement(
        sentence, cast(Any, value), cast(Any, relation), bound, cast(Any, unit), over_seeds
    )


STATEMENTS = {
    "suncet-sooner": (
        statement(
            "epochs until SimCLR's last accuracy, as a share of SimCLR's, 10% of the labels",
            partial(suncet_share, "epochs", 1), "<=", 0.5, "share",
        ),
        statement("the same in seconds", partial(suncet_share, "seconds", 1), "<=", 0.6, "share"),
        statement(
            "epochs until SimCLR's last accuracy, as a share of SimCLR's, 1% of the labels",
            partial(suncet_share, "epochs", 0), "<=", 0.5, "share",
        ),
        statement("the same in seconds", partial(suncet_share, "seconds", 0), "<=", 0.6, "share"),
        statement("SuNCEt - SimCLR at equal views, 10% of the labels", partial(suncet_ahead, 1), ">=", 0),
        statement("SuNCEt - SimCLR at equal views, 1% of the labels", partial(suncet_ahead, 0), ">=", 0),
    ),
    "isd-rare": (
        statement("ISD - MoCo v2 on the rare classes", isd_rare, ">", 0),
        statement("the same difference, rare classes - frequent classes", isd_rare_more, ">=", 0),
    ),
    "comatch-fixmatch": (
        statement("CoMatch - FixMatch, 4 labels a class", partial(comatch, 4), ">=", 0),
        statement("CoMatch - FixMatch, 25 labels a class", partial(comatch, 25), ">=", 0),
    ),
    "supcon-out-or-in": (statement("L_out - L_in", out_or_in, ">=", 0),),
    "supcon-corruptions": (
        statement("accuracy lost on corrupted images, SupCon - cross-entropy", lost, "<=", 0),
        statement("accuracy on corrupted images, SupCon - cross-entropy", corrupted, ">=", 0),
    ),
    "supcon-stability": (
        statement("standard deviation over rates, SupCon - cross-entropy", spread, "<=", 0),
    ),
}  # fmt: skip
"""of each claim"""


def write(found: dict[str, Any], folder: Path) -> None:
    """A file for each claim that a seed or more have all runs of."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, statements in STATEMENTS.items():
        whole = [results for results in seeds_of(found) if is_whole(results, statements)]
        if not whole:
            continue
        judged = [judge(each, cast(Any, whole)) for each in statements]
        content = {
            "claim": name,
            "verdict": overall(judged),
            "device": found["about"]["device"],
            "data": DATA,
            "encoder": found["about"]["encoder"],
            "day": datetime.date.today().isoformat(),
            "versions": versions(),
            "seeds": [results.seed for results in whole],
            "statements": [asdict(each) for each in judged],
        }
        file = folder / f"{name}.json"
        file.write_text(json.dumps(content, indent=1) + "\n")
        print(f"{content['verdict']}: {name} -> {file}")


def seeds_of(found: dict[str, Any]) -> list[Results]:
    """What was found, by seed."""
    lines = [line for part in found.values() if isinstance(part, list) for line in part]
    return [
        Results(found, seed) for seed in sorted({line["seed"] for line in lines if "seed" in line})
    ]


def is_whole(results: Results, statements: tuple[Statement, ...]) -> bool:
    """Whether all runs of the statements were made with this seed."""
    try:
        for each in statements:
            each.value(cast(Any, results))
    except LookupError:
        return False
    return True
