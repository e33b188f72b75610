"""The page of terms names options and Python names that are there."""

import re
from pathlib import Path

import pytest

import likewise as lw
from likewise.cli import main
from likewise.runs.run import Run

PAGE = (Path(__file__).parents[2] / "docs" / "terms.md").read_text()


def test_every_option_is_one_of_train(capsys):
    for method in ("moco-v2", "fixmatch", "swav"):
        with pytest.raises(SystemExit):
            main(["train", "--method", method, "--help"])
    shown = capsys.readouterr().out
    named = set(re.findall(r"`(--[a-z][a-z.-]*[a-z])", PAGE)) - {
        "--x-y",
        "--recipe.x",
        "--method.x",
        "--from",
    }
    assert sorted(option for option in named if option not in shown) == []


def test_every_name_can_be_used():
    for path in re.findall(r"`lw\.([A-Za-z_.]+)", PAGE):
        found = lw
        for part in path.split("."):
            found = getattr(found, part)
    for name in re.findall(r"`run\.([a-z_]+)", PAGE):
        assert hasattr(Run, name)
