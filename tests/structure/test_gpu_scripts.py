"""benchmarks/on_gpu.py is rarely near a GPU: what of it needs none is tried here, at small sizes."""

import importlib
import json
import time

import pytest
import torch


@pytest.fixture
def section(monkeypatch):
    monkeypatch.syspath_prepend("benchmarks")
    return importlib.import_module("gpu.section")


def clock_for(section, seconds=60.0):
    return section.Clock(time.monotonic() + seconds, {})


def test_one_that_fails_stops_no_other(section, capsys):
    clock = clock_for(section)
    work = {"a": lambda: 1, "b": lambda: 1 / 0, "c": lambda: 2}
    section.take_turns("title", work, clock)
    assert (clock.found["a"], clock.found["c"]) == (1, 2)
    assert "ZeroDivisionError" in clock.found["b"]["ended"]
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_what_has_no_time_left_is_not_begun(section):
    clock, begun = clock_for(section, -1.0), []
    with pytest.raises(section.OutOfTime):
        section.take_turns("title", {"a": lambda: begun.append(1)}, clock)
    assert not begun


def test_sections_but_the_tests_fit_into_the_run(section):
    script = importlib.import_module("on_gpu")
    limits = {
        name: importlib.import_module(f"gpu.{name}").SECTION.limit
        for name in script.NAMES.split(",")
    }
    limits.pop("tests")
    assert sum(limits.values()) <= script.Settings().limit


def test_losses_are_checked_and_measured(section, monkeypatch):
    script = importlib.import_module("gpu.losses")
    cases = script.cases
    monkeypatch.setattr(script, "SIZES", (16,))
    monkeypatch.setattr(script, "CROSSED", (8, 16))
    monkeypatch.setattr(script, "CROSSED_WIDTHS", (8,))
    monkeypatch.setattr(script, "cases", lambda device, *sizes, **more: cases(device, 12, 20, 8))
    monkeypatch.setattr(script, "milliseconds", lambda work, *more: work() and 1.0)
    monkeypatch.setattr(script, "graph_milliseconds", lambda work: work() and 1.0)
    monkeypatch.setattr(script, "launches", lambda work: 1)
    monkeypatch.setattr(torch, "compile", lambda loss, **options: loss)
    clock = clock_for(section)
    script.SECTION.run(torch.device("cpu"), clock)
    said = json.dumps(clock.found)
    assert "ended" not in said
    checks = [found for name, found in clock.found.items() if name.startswith("check")]
    assert len(checks) == 24 and all(found["loss"] < 1e-5 for found in checks)
    assert all(max(found["gradients"]) < 1e-5 for found in checks)
    assert clock.found["KEPT_ROWS[8]"] == 16  # where both take as long


def test_scores_are_kept_up_to_where_that_first_takes_longer(section):
    script = importlib.import_module("gpu.losses")
    times = {512: (1, 3), 256: (2, 2), 2048: (1, 9), 1024: (5, 4)}
    found = {rows: {"kept": kept, "made again": made} for rows, (kept, made) in times.items()}
    assert script.kept_up_to(found) == 512
    assert script.kept_up_to({256: {"kept": 2, "made again": 1}}) == 0
