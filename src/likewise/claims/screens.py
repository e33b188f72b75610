"""A reproduction in the terminal: its plan, its scores, and the list of claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from likewise.claims.claim import Claim
from likewise.json_files import read_json


def opening(
    name: str, claim: Claim, seeds: Sequence[int], data: str, steps_share: float
) -> RenderableType:
    """The paper's claim, and how it will be tested."""
    minutes = claim.minutes * steps_share * len(seeds) / len(claim.seeds)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    grid.add_row("claim", f"{name}: {claim.sentence}")
    grid.add_row("paper", claim.paper)
    grid.add_row("check", claim.check)
    grid.add_row("arms", ", ".join(arm.name for arm in claim.arms))
    share = f", {100 * steps_share:g}% of the steps" if steps_share != 1 else ""
    grid.add_row(
        "cost",
        f"seeds {', '.join(map(str, seeds))} on {data}{share}: about {minutes:.0f} min on 2 idle cores",
    )
    return Group(grid, "")


def arms_table(content: Mapping[str, Any]) -> Table:
    """Each arm's scores, mean and by seed, and its cost."""
    table = Table(
        "arm", "score", "mean", *[f"seed {seed}" for seed in content["seeds"]], "views", "seconds"
    )
    for arm, results in by_arm(content).items():
        for score in results[0]["scores"]:
            values = [result["scores"][score] for result in results]
            views = mean(result["images"] for result in results)
            seconds = mean(result["seconds"] for result in results)
            by_seed = [f"{value:.3f}" for value in values]
            table.add_row(
                arm, score, f"{mean(values):.3f}", *by_seed, f"{views:,.0f}", f"{seconds:,.0f}"
            )
    return table


def by_arm(content: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The results of an outcome's JSON by arm, in the order of the seeds."""
    by_arm: dict[str, list[dict[str, Any]]] = {arm: [] for arm in content["arms"]}
    for result in content["results"]:
        by_arm[result["arm"]].append(result)
    return by_arm


def claims_table(claims: Mapping[str, Claim], evidence: Path) -> RenderableType:
    """All claims, with the stored outcome of each."""
    table = Table("claim", "the paper's claim", "paper", "minutes", "outcome")
    for name, claim in claims.items():
        file = evidence / f"{name}.json"
        verdict = read_json(file)["verdict"] if file.exists() else "not run yet"
        table.add_row(
            name, claim.sentence, claim.paper.partition(",")[0], f"{claim.minutes:g}", verdict
        )
    about = f"likewise reproduce NAME tests one. Outcomes are read from {evidence}; make docs writes docs/results.md."
    return Group(table, about)
