"""The rule that says whether a claim holds, on made-up results."""

import json
import math
import re

import pytest

from likewise.claims import CLAIMS
from likewise.claims.claim import ONLINE, Arm, Claim, Replicate, Result, Statement
from likewise.claims.measures import Linear
from likewise.claims.outcome import FAILS, HOLDS, INCONCLUSIVE, ClaimOutcome, judge, overall
from likewise.methods.simclr import SimCLR
from likewise.runs.settings import TrainSettings

MACHINE = {"commit": "abc", "machine": "2 x made up", "device": "cpu", "precision": "32-true"}


def result(arm, seed, score, curve=()):
    points = [
        {"step": at, "epochs": at / 2, "images": 10 * at, "seconds": at / 5, ONLINE: value}
        for at, value in curve
    ]
    return Result(arm, seed, {"linear_top1": score}, points, 10, 5.0, 100, 2.0, 0.5, dict(MACHINE))


def replicates(*differences):
    """Seeds in which arm a is better than arm b by these differences."""
    return [
        Replicate(seed, {"a": result("a", seed, 0.5 + difference), "b": result("b", seed, 0.5)})
        for seed, difference in enumerate(differences)
    ]


def difference(bound=0.0, relation=">=", **more):
    return Statement(
        "a - b", lambda r: r.difference("a", "b", "linear_top1"), relation, bound, **more
    )


@pytest.mark.parametrize(
    ("differences", "bound", "relation", "verdict"),
    [
        ((0.02, 0.01, 0.03), 0.0, ">=", HOLDS),
        ((0.02, 0.01, -0.01), 0.0, ">=", HOLDS),  # two of three agree
        ((-0.02, -0.01, -0.03), 0.0, ">=", FAILS),
        ((0.30, -0.01, -0.01), 0.0, ">=", FAILS),  # the mean is met, by one seed alone
        ((0.01, 0.01, -0.30), 0.0, ">=", FAILS),  # two seeds agree, but the mean does not
        ((-0.004, -0.004, -0.002), -0.005, ">=", HOLDS),
        ((0.0, 0.0, 0.0), 0.0, ">=", HOLDS),
        ((0.0, 0.0, 0.0), 0.0, ">", FAILS),
        ((-0.02, -0.01, 0.01), 0.0, "<=", HOLDS),
        ((0.02, -0.01, 0.01), 0.0, "<", FAILS),
        ((0.01, 0.01, 0.01, -0.01, -0.01), 0.0, ">=", FAILS),  # three of five are not two thirds
        ((0.02, 0.02, 0.02, 0.02, -0.01), 0.0, ">=", HOLDS),
    ],
)
def test_mean_and_two_thirds_of_the_seeds_must_meet_it(differences, bound, relation, verdict):
    statement = judge(difference(bound, relation), replicates(*differences))
    assert statement.verdict == verdict
    assert statement.by_seed == pytest.approx(differences)
    assert statement.value == pytest.approx(sum(differences) / len(differences))


def test_every_seed_is_printed():
    printed = str(judge(difference(), replicates(0.02, 0.01, -0.015)))
    assert re.search(r"\+0\.5 .*\+2\.0 .*\+1\.0 .*-1\.5 ", printed)
    assert ">= +0.0 points" in printed
    assert HOLDS in printed


def test_a_statement_whose_premise_fails_is_inconclusive():
    premise = Statement(
        "a is 10 points ahead", lambda r: r.difference("a", "b", "linear_top1"), ">=", 0.1
    )
    inconclusive = judge(difference(premise=premise), replicates(0.02, 0.02, 0.02))
    assert inconclusive.verdict == INCONCLUSIVE
    assert re.search(r"\b10 points.*\+2\.0 points", inconclusive.premise)
    assert inconclusive.premise in str(inconclusive)
    assert judge(difference(premise=premise), replicates(0.2, 0.2, 0.2)).verdict == HOLDS
    assert judge(difference(bound=0.5, premise=premise), replicates(0.2, 0.2, 0.2)).verdict == FAILS


def sooner(seed, ours, theirs):
    return Replicate(seed, {"a": result("a", seed, 0.5, ours), "b": result("b", seed, 0.5, theirs)})


def test_the_share_to_reach_is_read_off_both_curves():
    reference = [(10, 0.4), (20, 0.6), (30, 0.8)]
    quick = sooner(0, [(10, 0.7), (20, 0.9), (30, 0.95)], reference)
    for cost in ("epochs", "images", "seconds"):
        assert quick.share_to_reach("a", "b", cost) == pytest.approx(15 / 30)
    flat = sooner(0, [(10, 0.4), (20, 0.8), (30, 0.9)], [(10, 0.5), (15, 0.8), (30, 0.8)])
    # Not 20 / 30: b was there before its end.
    assert flat.share_to_reach("a", "b", "images") == pytest.approx(20 / 15)
    assert (
        sooner(0, [(10, 0.4), (30, 0.79)], reference).share_to_reach("a", "b", "images") == math.inf
    )


def test_a_score_that_is_never_reached_is_worst_and_null_in_the_file():
    reference = [(10, 0.4), (30, 0.8)]
    quick, never = [(10, 0.4), (12, 0.8)], [(10, 0.4), (30, 0.7)]
    statement = Statement(
        "share",
        lambda r: r.share_to_reach("a", "b", "images"),
        "<=",
        0.6,
        unit="share",
        over_seeds="median",
    )
    two = judge(
        statement,
        [sooner(0, quick, reference), sooner(1, quick, reference), sooner(2, never, reference)],
    )
    assert (two.verdict, two.value, two.met) == (HOLDS, pytest.approx(0.4), 2)
    one = judge(
        statement,
        [sooner(0, quick, reference), sooner(1, never, reference), sooner(2, never, reference)],
    )
    assert (one.verdict, one.value) == (FAILS, math.inf)
    assert "median never (0.4, never, never)" in str(one)
    content = outcome(statements=[one]).to_json()
    assert content["statements"][0]["by_seed"] == [pytest.approx(0.4), None, None]
    json.dumps(content, allow_nan=False)


def claim(**given):
    arms = tuple(Arm(name, SimCLR(), TrainSettings(), (Linear(),)) for name in "ab")
    return Claim("a paper", "a sentence", "a check", arms, (difference(),), 1, "images", **given)


def outcome(statements=(), seeds=(0, 1, 2), data="fashion-mnist-mini", steps_share=1.0):
    results = [result(arm, seed, 0.5) for seed in seeds for arm in "ab"]
    return ClaimOutcome("made-up", claim(), data, steps_share, seeds, {}, results, list(statements))


def test_the_claim_as_a_whole():
    held = judge(difference(), replicates(0.1, 0.1))
    failed = judge(difference(0.5), replicates(0.1, 0.1))
    algebra = judge(difference(algebra=True), replicates(0.1, 0.1))
    wrong_algebra = judge(difference(0.5, algebra=True), replicates(0.1, 0.1))
    assert overall([held, held]) == HOLDS
    assert overall([failed]) == overall([failed, algebra]) == FAILS
    assert overall([held, failed]) == "holds here in 1 of 2 statements"
    assert overall([held, wrong_algebra]) == "holds here in 1 of 2 statements"


def test_only_a_whole_reproduction_is_evidence():
    assert outcome().is_evidence
    assert outcome(seeds=(0, 1, 2, 3)).is_evidence
    assert not outcome(seeds=(0, 1)).is_evidence
    assert not outcome(steps_share=0.5).is_evidence
    assert not outcome(data="photos").is_evidence


def test_results_of_two_commits_are_told_apart():
    both = outcome()
    both.results[0].environment["commit"] = "def"
    content = both.to_json()
    assert [each["commit"] for each in content["environments"]] == ["def", "abc"]
    assert [each["environment"] for each in content["results"]] == [0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("name", CLAIMS)
def test_a_registered_claim_has_three_seeds_a_budget_and_a_source(name):
    about = CLAIMS[name]
    assert len(about.seeds) >= 3
    assert about.minutes <= 30
    assert "https://" in about.paper
    assert about.statements
    assert about.arms
