"""A run that ends below the weights that it started from says so on its last screen and on its page."""

import io

import pytest
from rich.console import Console

from likewise.evaluation.statistics.scores import Score
from likewise.json_files import read_json, write_json
from likewise.report.last_screen import last_screen
from likewise.report.pages.page import write_report
from likewise.report.start_comparison import no_better_than_start


def run_with_difference(make_run, over, low, high):
    run = make_run()
    scores = read_json(run.scores)
    value = (low + high) / 2
    scores["differences"] = [
        {"name": "linear_top1", "over": over, "value": value, "low": low, "high": high}
    ]
    write_json(run.scores, scores)
    return run


def shown(run):
    screen = io.StringIO()
    Console(file=screen, width=400).print(last_screen(run))
    write_report(run)
    return screen.getvalue(), run.report.read_text()


@pytest.mark.parametrize(
    ("over", "low", "high", "warned"),
    [
        ("start", -0.09, -0.03, True),
        ("start", -0.09, 0.01, False),
        ("untrained", -0.09, -0.03, False),
    ],
)
def test_a_loss_of_the_start_is_said(make_run, over, low, high, warned):
    screen, page = shown(run_with_difference(make_run, over, low, high))
    for place in (screen, page):
        assert ("--on-decline rollback" in place) == warned


@pytest.mark.parametrize(("trained", "said"), [(0.67, True), (0.40, False)])
def test_a_higher_score_that_may_be_chance_is_explained(trained, said):
    """Without its reason "no better: 67% against 44%" would contradict itself."""
    scores = {
        "trained": [Score("linear_top1", trained, trained - 0.3, trained + 0.3, 9)],
        "untrained": [Score("linear_top1", 0.44, 0.14, 0.74, 9)],
    }
    assert ("chance" in no_better_than_start(scores, [])) is said
