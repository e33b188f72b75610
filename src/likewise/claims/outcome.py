"""The outcome of a reproduction: each seed's numbers, a verdict on each statement, and the JSON that stores them."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any

from likewise.claims.claim import Claim, Replicate, Result, Statement
from likewise.counts import amount

HOLDS, FAILS, INCONCLUSIVE = "holds here", "does not hold here", "inconclusive here"

RELATIONS = {">": operator.gt, ">=": operator.ge, "<=": operator.le, "<": operator.lt}

FORMAT = 2
"""version of the stored JSON; raised when its content changes"""


@dataclass(frozen=True)
class StatementVerdict:
    """A statement with the numbers of each seed, and whether it holds."""

    sentence: str
    relation: str
    bound: float
    unit: str
    over_seeds: str
    by_seed: list[float]
    """in the order of the seeds; infinite where a score was never reached"""
    value: float
    """mean or median of them"""
    met: int
    """how many seeds meet the inequality, each on its own"""
    verdict: str
    algebra: bool = False
    """whether it is exact and needs no training"""
    premise: str = ""
    """the condition under which the statement is tested, with its numbers"""

    def __str__(self) -> str:
        """The inequality with its numbers, and the verdict."""
        seeds = ", ".join(format_value(value, self.unit) for value in self.by_seed)
        reason = f" (tested only if: {self.premise})" if self.verdict == INCONCLUSIVE else ""
        return (
            f"{self.sentence}: {self.over_seeds} {format_value(self.value, self.unit)} ({seeds}), required "
            f"{self.relation} {format_value(self.bound, self.unit)}; {self.verdict}{reason}"
        )


@dataclass(frozen=True)
class ClaimOutcome:
    """A claim's reproduction."""

    claim: str
    """its name"""
    about: Claim
    """the claim itself"""
    data: str
    """the data set"""
    steps_share: float
    """share of the claim's steps that were trained; evidence needs all of them, 1"""
    seeds: tuple[int, ...]
    arms: dict[str, Any]
    """every setting of each arm"""
    results: list[Result]
    statements: list[StatementVerdict]

    @property
    def verdict(self) -> str:
        """The verdict on the claim as a whole."""
        return overall(self.statements)

    @property
    def is_evidence(self) -> bool:
        """Whether all of the claim's seeds and steps were run, on its own data."""
        whole = self.steps_share == 1 and self.data == self.about.data
        return whole and set(self.seeds) >= set(self.about.seeds)

    def to_json(self) -> dict[str, Any]:
        """The content of the stored JSON; numbers that are not finite are null."""
        results, environments = self._numbered_environments()
        about = self.about
        content = {
            "format": FORMAT,
            "claim": self.claim,
            "verdict": self.verdict,
            "is_evidence": self.is_evidence,
            "paper": about.paper,
            "sentence": about.sentence,
            "check": about.check,
            "axis": about.axis,
            "minutes": about.minutes,
            "data": self.data,
            "steps_share": self.steps_share,
            "seeds": list(self.seeds),
            "statements": [asdict(statement) for statement in self.statements],
            "images": sum(result.images for result in self.results),
            "seconds": sum(result.seconds + result.evaluation_seconds for result in self.results),
            "environments": environments,
            "arms": self.arms,
            "results": results,
        }
        return _finite(content)

    def _numbered_environments(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The results, each with the number of its environment; and the environments, each once."""
        environments: list[dict[str, Any]] = []
        results = [asdict(result) for result in self.results]
        for result in results:
            if result["environment"] not in environments:
                environments.append(result["environment"])
            result["environment"] = environments.index(result["environment"])
        return results, environments


def judge(statement: Statement, replicates: Sequence[Replicate]) -> StatementVerdict:
    """The verdict: the seeds' mean (or median) meets the inequality, and so do two thirds of the seeds on their own.

    A statement whose premise does not hold is inconclusive.
    """
    by_seed = [statement.value(replicate) for replicate in replicates]
    value = median(by_seed) if statement.over_seeds == "median" else mean(by_seed)
    met = sum(_meets(each, statement) for each in by_seed)
    enough = met >= math.ceil(2 / 3 * len(by_seed))
    verdict = HOLDS if enough and _meets(value, statement) else FAILS
    premise = judge(statement.premise, replicates) if statement.premise else None
    if premise is not None and premise.verdict != HOLDS:
        verdict = INCONCLUSIVE
    return StatementVerdict(
        sentence=statement.sentence,
        relation=statement.relation,
        bound=statement.bound,
        unit=statement.unit,
        over_seeds=statement.over_seeds,
        by_seed=by_seed,
        value=value,
        met=met,
        verdict=verdict,
        algebra=statement.algebra,
        premise=str(premise or ""),
    )


def overall(statements: Sequence[StatementVerdict]) -> str:
    """One verdict where all statements agree, else how many of them hold.

    Algebra that holds says nothing about learning, so it counts only where it fails.
    """
    verdicts = []
    for statement in statements:
        if not (statement.algebra and statement.verdict == HOLDS):
            verdicts.append(statement.verdict)
    if len(set(verdicts)) == 1:
        return verdicts[0]
    inconclusive = verdicts.count(INCONCLUSIVE)
    rest = f", {inconclusive} inconclusive" if inconclusive else ""
    return f"holds here in {verdicts.count(HOLDS)} of {amount(len(verdicts), 'statement')}{rest}"


def format_value(value: float | None, unit: str) -> str:
    """A number as tables print it."""
    if value is None or not math.isfinite(value):
        return "never" if unit == "share" else "–"
    return f"{100 * value:+.1f} points" if unit == "points" else f"{value:.3g}"


def _meets(value: float, statement: Statement) -> bool:
    return RELATIONS[statement.relation](value, statement.bound)


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {name: _finite(each) for name, each in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(each) for each in content]
    return content
