"""Whole runs on a GPU as the tables of ``docs/performance.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from measuring import Claim, Table

Line = Mapping[str, Any]
"""What was found of one run."""

TITLES = {
    "simclr": "SimCLR until the neighbours' accuracy of lightly's run of 200 epochs",
    "supcon": "SupCon and cross-entropy with all labels",
    "support": "SuNCEt's support at equal views",
    "isd": "ISD and MoCo v2 on long-tailed classes",
    "comatch": "CoMatch and FixMatch",
    "out-or-in": "SupCon's two losses",
    "robustness": "SupCon and cross-entropy: corrupted images and learning rates",
}
SETTINGS = ("method", "labels a class", "batch", "rate")
"""What tells the rows of a table apart; the rest is averaged over seeds."""
COSTS = ("epochs", "views", "seconds")


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean and standard deviation of the seeds."""
    mean = f"{fmean(values):{sign}.1f}"
    return f"{mean} ± {stdev(values):.1f}" if len(values) > 1 else mean


def tables(found: Mapping[str, Any]) -> list[Table]:
    """One for each part that was run."""
    made: list[Table] = []
    for part, title in TITLES.items():
        lines = [line for line in found.get(part, []) if "curve" in line]
        if lines:
            made.append(table(title, lines))
    return made


def table(title: str, lines: Sequence[Line]) -> Table:
    """A row for each setting: what was spent, and its scores in percent."""
    settings = [name for name in SETTINGS if any(name in line for line in lines)]
    names = list(dict.fromkeys(name for line in lines for name in scores(line)))
    groups: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        key = tuple(str(line.get(name, "")) for name in settings)
        groups.setdefault(key, []).append(line)
    made = Table(
        f"{title}, percent", [*settings, "seeds", "epochs", "million views", "seconds", *names]
    )
    for key, seeds in groups.items():
        epochs, views, seconds = (
            fmean(line["curve"][-1][cost] for line in seeds) for cost in COSTS
        )
        spent = [f"{epochs:.1f}", f"{views / 1e6:.2f}", f"{seconds:.1f}"]
        found = [scores(line) for line in seeds]
        by_score = [[100 * each[name] for each in found if name in each] for name in names]
        cells = [spread(values) if values else "" for values in by_score]
        made.rows.append([*key, str(len(seeds)), *spent, *cells])
    made.notes.append("Mean and standard deviation of the seeds.")
    return made


def scores(line: Line) -> dict[str, float]:
    """At the end of a run, by name."""
    last = {name: score for name, score in line["curve"][-1].items() if name not in COSTS}
    return {
        **{f"{name}, last look": score for name, score in last.items()},
        **{f"{name}, validation": score for name, score in line.get("validation", {}).items()},
        **{f"{name}, test": score for name, score in line.get("test", {}).items()},
    }


def claims(found: Mapping[str, Any]) -> list[Claim]:
    """The records."""
    made: list[Claim] = []
    for line in found.get("simclr", []):
        if "curve" not in line:
            continue
        wanted, curve = line["wanted"], line["curve"]
        best = max(look["knn"] for look in curve)
        made.append(Claim("SimCLR, accuracy of 200 neighbours", wanted, best))
        reached = [look["seconds"] for look in curve if look["knn"] >= wanted]
        note = "" if reached else "(it was not reached)"
        seconds = min(reached, default=None)
        made.append(Claim(f"SimCLR, seconds to {wanted}", 180, seconds, at_least=False, note=note))
    supcon = [line for line in found.get("supcon", []) if line.get("method") == "SupCon"]
    if supcon:
        mean = fmean(line["test"]["linear"] for line in supcon)
        made.append(Claim("SupCon, accuracy of a linear classifier", 0.95, mean))
    return made
