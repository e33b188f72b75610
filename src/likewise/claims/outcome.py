"""What came of a claim: numbers seed by seed, a verdict on each statement, and the file that keeps them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any

from likewise.claims.claim import Claim, Replicate, Result, Statement

HOLDS, FAILS, UNTOLD = "holds here", "does not hold here", "cannot be told here"

FORMAT = 1
"""Of the file; raised when what it holds changes."""


@dataclass(frozen=True)
class Judged:
    """A statement and its numbers."""

    sentence: str
    relation: str
    bound: float
    unit: str
    over_seeds: str
    by_seed: list[float]
    """in the order of the seeds; infinite where something was never reached"""
    value: float
    """mean or median of them"""
    met: int
    """seeds that meet it by themselves"""
    verdict: str
    algebra: bool = False
    """exact, without any training"""
    premise: str = ""
    """what had to hold first, with its numbers"""

    def __str__(self) -> str:
        """The inequality with its numbers, and the verdict."""
        seeds = ", ".join(shown(value, self.unit) for value in self.by_seed)
        why = f", for it is asked only if: {self.premise}" if self.verdict == UNTOLD else ""
        return (
            f"{self.sentence}: {self.over_seeds} {shown(self.value, self.unit)} ({seeds}), to be "
            f"{self.relation} {shown(self.bound, self.unit)}; {self.verdict}{why}"
        )


@dataclass(frozen=True)
class ClaimOutcome:
    """A claim's reproduction."""

    claim: str
    """its name"""
    about: Claim
    """what was claimed and compared"""
    data: str
    """what was learned from"""
    steps_share: float
    """of the claim's steps; 1 but for a look"""
    seeds: tuple[int, ...]
    arms: dict[str, Any]
    """every setting of each arm"""
    results: list[Result]
    statements: list[Judged]

    @property
    def verdict(self) -> str:
        """On the claim as a whole."""
        return overall(self.statements)

    @property
    def is_evidence(self) -> bool:
        """Whether nothing was shortened: all of the claim's seeds, steps and data."""
        whole = self.steps_share == 1 and self.data == self.about.data
        return whole and set(self.seeds) >= set(self.about.seeds)

    def to_json(self) -> dict[str, Any]:
        """What the file holds; numbers that are not finite are null."""
        environments = list({str(result.environment): result.environment for result in self.results}.values())
        results = [asdict(result) for result in self.results]
        for result in results:
            result["environment"] = environments.index(result["environment"])
        about = self.about
        content = {
            "format": FORMAT,
            "claim": self.claim,
            "verdict": self.verdict,
            "is_evidence": self.is_evidence,
            **{name: getattr(about, name) for name in ("paper", "sentence", "check", "axis", "minutes")},
            "data": self.data,
            "steps_share": self.steps_share,
            "seeds": list(self.seeds),
            "statements": [asdict(judged) for judged in self.statements],
            "images": sum(result.images for result in self.results),
            "seconds": sum(result.seconds + result.measuring for result in self.results),
            "environments": environments,
            "arms": self.arms,
            "results": results,
        }
        return _finite(content)


def judge(statement: Statement, replicates: Sequence[Replicate]) -> Judged:
    """The verdict: the seeds' mean (or median) meets the inequality, and so do two thirds of the seeds by themselves.

    A statement whose premise does not hold cannot be told.
    """
    by_seed = [statement.value(replicate) for replicate in replicates]
    value = (median if statement.over_seeds == "median" else mean)(by_seed)
    met = sum(_meets(each, statement) for each in by_seed)
    verdict = HOLDS if _meets(value, statement) and met >= math.ceil(2 / 3 * len(by_seed)) else FAILS
    premise = judge(statement.premise, replicates) if statement.premise else None
    if premise is not None and premise.verdict != HOLDS:
        verdict = UNTOLD
    return Judged(
        statement.sentence, statement.relation, statement.bound, statement.unit, statement.over_seeds,
        by_seed, value, met, verdict, statement.algebra, str(premise or ""),
    )  # fmt: skip


def overall(statements: Sequence[Judged]) -> str:
    """One verdict where all statements agree, else how many of them hold.

    Algebra that comes out as it must says nothing about learning, so it counts only where it fails.
    """
    verdicts = [judged.verdict for judged in statements if not (judged.algebra and judged.verdict == HOLDS)]
    if len(set(verdicts)) == 1:
        return verdicts[0]
    untold = verdicts.count(UNTOLD)
    rest = f", {untold} cannot be told" if untold else ""
    return f"holds here in {verdicts.count(HOLDS)} of {len(verdicts)} statements{rest}"


def shown(value: float | None, unit: str) -> str:
    """A number as tables show it."""
    if value is None or not math.isfinite(value):
        return "never" if unit == "share" else "–"
    return f"{100 * value:+.1f} points" if unit == "points" else f"{value:.3g}"


def _meets(value: float, statement: Statement) -> bool:
    bound = statement.bound
    return {">": value > bound, ">=": value >= bound, "<=": value <= bound, "<": value < bound}[statement.relation]


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {name: _finite(each) for name, each in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(each) for each in content]
    return content
