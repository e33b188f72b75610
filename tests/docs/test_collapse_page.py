"""The page about collapse: its example runs, and its figures are those of the code."""

import re
import typing
from pathlib import Path

from likewise.training.collapse import LABELLED_IMAGES, MAX_GROWTH, MIN_RANK, MIN_STD, READINGS
from likewise.training.guard_action import Action

PAGE = (Path(__file__).parents[2] / "docs" / "collapse.md").read_text()


def test_the_example_stops_where_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(block, names)
    steps = [line["step"] for line in names["run"].folder.metric_lines() if "collapse" in line]
    assert steps[0] == 30
    assert "step 30" in PAGE


def test_the_thresholds_are_those_of_the_code():
    for form, threshold in (
        ("feature_std", f"below {MIN_STD}"),
        ("effective_rank", f"below {MIN_RANK}"),
        ("weight_norm", f"above {MAX_GROWTH} times"),
        ("labelled_classes", f"{READINGS} readings, and {LABELLED_IMAGES} labelled"),
    ):
        row = next(line for line in PAGE.splitlines() if f"| `{form}`" in line)
        assert threshold in row


def test_every_action_stands_there():
    assert all(f"| `{action}` |" in PAGE for action in typing.get_args(Action))
