"""Each section of ``benchmarks/on_gpu.py`` runs to its end, at tiny sizes, where a stand-in has what only CUDA has."""

import importlib
import importlib.util
import json
import time
from pathlib import Path

import pytest
import torch

from structure import cuda_stand_in

CPU = torch.device("cpu")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def section(monkeypatch):
    """A section by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    cuda_stand_in.install(monkeypatch.setattr)
    return lambda name: importlib.import_module(f"gpu.{name}")


def run(script, *sizes):
    """What a section finds within a minute."""
    clock = importlib.import_module("gpu.section").Clock(time.monotonic() + 60, {})
    script.SECTION.run(CPU, clock, *sizes)
    assert "ended" not in json.dumps(clock.found)
    return clock.found


def test_scoring(section):
    script = section("scoring")
    sizes = script.Sizes(train=600, test=60, width=16, side=8, encoder="conv4")
    found = run(script, sizes)
    assert all(found[name]["alike"] == 1 for name in ("knn", "linear", "few labels"))
    spent = found["extraction of two encoders (s)"] + found["scores of two encoders (s)"]
    assert found["whole scoring (s)"] == pytest.approx(spent, abs=0.02)


def test_step(section, monkeypatch):
    script = section("step")
    monkeypatch.setattr(script, "profile", cuda_stand_in.Profile)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: None)
    sizes = script.Sizes(images=64, batch=16, side=8, encoder="conv4", steps=4, replays=2)
    found = run(script, sizes)
    assert found["simclr captured, profiled"]["kernels a step"] > 0
    assert all("not captured" not in result for result in found.values())
    # BYOL: encoder, projector and predictor of two views, and its teacher twice
    called = {name: found[name]["calls of networks"] for name in ("moco-v2", "byol", "suncet")}
    assert called == {"moco-v2": 3, "byol": 8, "suncet": 2}


def test_tests(section, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # one process is enough
    (tmp_path / "test_a.py").write_text("def test_one(): pass\ndef test_two(): assert 1 == 2\n")
    (tmp_path / "test_b.py").write_text("import no_such_package\n")
    files = tuple(str(tmp_path / name) for name in ("test_a.py", "test_b.py"))
    found = run(section("tests"), files)
    assert (found["exit status"], found["passed"]) == (1, 1)
    assert [name.rpartition("/")[2] for name in found["failed"]] == [
        "test_a.py::test_two",
        "test_b.py",
    ]


def test_views(section, monkeypatch):
    script = section("views")
    monkeypatch.setattr(script.fused, "make", blank)
    sizes = script.Sizes(2, 3, 2, (16, 20), 16, 16, 20, 24, (3, 2), 2**10)
    found = run(script, sizes)
    assert found["agreement, 20 px"]["greatest, of 255 levels"] < 0.1
    assert found["2 of 20 px from 24, blur"]["GB moved"] > 0
    assert len(found["other cuts, ms"]) == 12 and len(found["peers, views a second"]) == 6


def blank(images, packed, size):
    """The kernels' result, but for its content; they are tested with the views."""
    return torch.zeros(len(images), images.shape[1], size, size)
