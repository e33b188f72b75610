"""What `lw.train` says in Python: warnings are Python's where there is no console, and text where there is one."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import likewise as lw

SETTINGS = dict(
    method="simclr", encoder="conv4-half", steps=1, batch_size=8, num_evals=0, device="cpu"
)
IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
ONE_CLASS = (IMAGES, ["cat"] * 24)


def test_a_warning_is_pythons_and_points_at_the_callers_line(tmp_path, capsys):
    with pytest.warns(UserWarning, match="^cat: only one") as caught:
        run = lw.train(ONE_CLASS, out=tmp_path / "run", **SETTINGS)
    assert {Path(each.filename).name for each in caught if "cat" in str(each.message)} == {
        "test_console.py"
    }
    assert capsys.readouterr().out == ""
    assert "cat: only one" in run.folder.log.read_text()


def test_a_console_shows_what_the_command_shows(tmp_path):
    shown = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        lw.train(
            ONE_CLASS, out=tmp_path / "run", console=Console(file=shown, width=200), **SETTINGS
        )
    assert "warning: cat: only one" in shown.getvalue() and "encoder" in shown.getvalue()
