"""The stored outcomes are those that the claims' statements give for the stored scores."""

import json
import math
from pathlib import Path

import pytest

from likewise.claims import CLAIMS
from likewise.claims.claim import Replicate, Result
from likewise.claims.outcome import FORMAT, judge, overall

EVIDENCE = Path(__file__).parents[2] / "evidence" / "claims"


@pytest.mark.parametrize("name", CLAIMS)
def test_a_stored_verdict_follows_from_the_stored_scores(name):
    content = json.loads((EVIDENCE / f"{name}.json").read_text())
    claim = CLAIMS[name]
    assert content["format"] == FORMAT and content["claim"] == name
    assert list(content["arms"]) == [arm.name for arm in claim.arms]
    replicates = []
    for seed in content["seeds"]:
        results = [Result(**result) for result in content["results"] if result["seed"] == seed]
        replicates.append(Replicate(seed, {result.arm: result for result in results}))
    statements = [judge(statement, replicates) for statement in claim.statements]
    for judged, stored in zip(statements, content["statements"], strict=True):
        assert (judged.sentence, judged.verdict, judged.premise) == (
            stored["sentence"], stored["verdict"], stored["premise"]
        )  # fmt: skip
        by_seed = [math.inf if value is None else value for value in stored["by_seed"]]
        assert judged.by_seed == pytest.approx(by_seed, abs=1e-6)
    assert overall(statements) == content["verdict"]
