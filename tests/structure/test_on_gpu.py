"""``benchmarks/on_gpu.py`` itself: a process for each section, its time, and the aims at the end."""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("on_gpu")


def test_findings_that_grow_while_they_are_written_are_written_later(script, monkeypatch, tmp_path):
    tried = []

    def write(found, file):
        tried.append(file)
        raise RuntimeError("dictionary changed size") if len(tried) < 3 else KeyboardInterrupt

    monkeypatch.setattr(script, "write", write)
    monkeypatch.setattr(script.time, "sleep", lambda seconds: None)
    with pytest.raises(KeyboardInterrupt):
        script.write_repeatedly(script.Clock(0.0, {}), tmp_path)
    assert len(tried) == 3


def test_all_missing_packages_are_named_at_once(script, monkeypatch):
    packages = importlib.import_module("gpu.packages")
    needed = {"json": "json", "no_one": "no-one", "no_two": "no-two"}
    monkeypatch.setattr(packages, "NEEDED", needed)
    with pytest.raises(SystemExit, match="no-one no-two"), packages.naming_what_is_missing():
        import no_one  # noqa: F401


def test_a_section_that_there_is_not_is_refused_before_any_begins(script, tmp_path):
    out = tmp_path / "found.json"
    with pytest.raises(SystemExit, match="vews"):
        script.main(script.Settings(only="views, vews", device="cpu", out=out))
    assert not out.exists()


def test_without_a_gpu_nothing_is_measured_and_the_script_fails(script, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "found.json"
    with pytest.raises(SystemExit, match="--device cpu") as left:
        script.main(script.Settings(out=out))
    assert left.value.code and not out.exists()


SECTIONS = """
import subprocess, sys, time, types
def section(name, run):
    module = types.ModuleType("gpu." + name)
    module.SECTION = types.SimpleNamespace(run=run, limit=600.0)
    sys.modules["gpu." + name] = module
def hang(device, clock):
    clock.found["child"] = subprocess.Popen(["sleep", "600"]).pid
    clock.found["before"] = 1
    time.sleep(600)
def fail(device, clock):
    clock.found["before"] = 2
    raise ValueError("a section that fails")
section("hang", hang)
section("fail", fail)
"""
"""Two sections that stand in for real ones, in every process of the script."""


class Patient(subprocess.Popen):
    """A process whose time is over once it has written what it found before it hangs, however long that takes."""

    def wait(self, timeout=None):
        if timeout is None or "hang" not in self.args:
            return super().wait(timeout and 600)
        file = Path(self.args[self.args.index("--out") + 1])
        until = time.monotonic() + 600
        while time.monotonic() < until and self.poll() is None:
            if file.exists() and "before" in file.read_text():
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(0.05)
        raise AssertionError(f"the section wrote nothing, and ended with {self.poll()}")


def is_alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_hangs_or_fails_leaves_what_it_had_found(script, monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SECTIONS)
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", paths)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # the script sets another
    monkeypatch.setattr(script.subprocess, "Popen", Patient)
    out = tmp_path / "on_gpu.json"
    settings = script.Settings(only="hang,fail", device="cpu", out=out, limit=600.0)
    script.all_sections(settings, torch.device("cpu"))
    found = json.loads(out.read_text())
    assert found["hang"]["before"] == 1 and "killed" in found["hang"]["ended"]
    assert not is_alive(found["hang"]["child"])
    assert found["fail"]["before"] == 2 and "a section that fails" in found["fail"]["ended"]
    assert found["about"]["device"] == "CPU" and found["aims"] == []


def test_a_process_that_is_late_is_killed_and_what_fails_is_told(script):
    assert "killed" in script.ended_by(["sleep", "600"], 0.05)
    assert script.ended_by(["false"], 600) and not script.ended_by(["true"], 600)
