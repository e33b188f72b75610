"""The demo: its sentence is arithmetic on its points, its folder is never taken from another, and it runs."""

import json
import re

import pytest
from rich.console import Console

from likewise.demo import ALL_LABELS, LABELS_ONLY, SIMCLR, SUNCET, gains_in_words, run_demo
from likewise.errors import LikewiseError
from likewise.report.pages.label_curve import LabelPoint


def points(**arms):
    return {
        name: [LabelPoint(budget, value, value, value, 1.0) for budget, value in line.items()]
        for name, line in arms.items()
    }


def test_the_sentence_says_what_the_points_say():
    line = {
        LABELS_ONLY: {2: 0.50, 10: 0.70, None: 0.85},
        SIMCLR: {2: 0.56, 10: 0.69, None: 0.84},
        SUNCET: {2: 0.55, 10: 0.72, None: 0.86},
        ALL_LABELS: {None: 0.88},
    }
    sentence = gains_in_words(points(**line))
    assert re.search(r"2 to 10 .*\+20\.0 .*all .*\+15\.0", sentence)
    assert re.search(r"\+6\.0 with 2\b.*\+2\.0 with 10\b", sentence)


def test_pre_training_that_costs_is_said_too():
    line = {
        LABELS_ONLY: {2: 0.6, None: 0.9},
        SIMCLR: {2: 0.5, None: 0.8},
        SUNCET: {2: 0.55, None: 0.8},
    }
    assert "-5.0 with 2" in gains_in_words(points(**line))


def test_an_earlier_demo_is_not_overwritten(tmp_path):
    (tmp_path / "demo.json").write_text("{}")
    with pytest.raises(LikewiseError, match="--overwrite"):
        run_demo(tmp_path, quick=True, seed=0, overwrite=False, console=Console(quiet=True))
    assert (tmp_path / "demo.json").read_text() == "{}"


@pytest.mark.slow
def test_the_quick_demo_runs_and_pre_training_helps_where_labels_are_few(tmp_path):
    import subprocess
    import sys

    words = ["-m", "likewise.cli", "demo", "--quick", "--out", str(tmp_path / "demo")]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "demo" / "demo.json").read_text())
    value = {
        (arm, point["labels_per_class"]): point["value"]
        for arm, line in content["points"].items()
        for point in line
    }
    assert set(content["points"]) == {LABELS_ONLY, SIMCLR, SUNCET, ALL_LABELS}
    assert value[SIMCLR, None] > value[SIMCLR, 10] > value[SIMCLR, 2] > 0.4
    assert value[LABELS_ONLY, None] > 0.8
    assert value[ALL_LABELS, None] > 0.8
    assert (tmp_path / "demo" / "demo.html").exists()
    assert (tmp_path / "demo" / "simclr" / "report.html").exists()
    assert content["sentence"] in " ".join(done.stdout.split())
