"""Runs to report on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_run import write_run

from likewise.run_folder import RunFolder


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """``make_run("a", half=..., speed=..., labels=...)`` writes a run's folder."""
    return lambda name="a", **given: write_run(tmp_path / "runs" / name, **given)
