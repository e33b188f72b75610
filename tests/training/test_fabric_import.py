"""Fabric is imported without torchmetrics, of which it only asks for the version."""

import importlib
import importlib.metadata
import os
import subprocess
import sys

import pytest

from likewise.training.fabric_import import version_alone


def test_a_package_is_its_version_alone_and_whole_again_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "iniconfig", raising=False)
    with version_alone("iniconfig"):
        stand_in = importlib.import_module("iniconfig")
    assert stand_in.__version__ == importlib.metadata.version("iniconfig")
    assert not hasattr(stand_in, "IniConfig")
    assert importlib.import_module("iniconfig").IniConfig


def test_a_package_that_is_loaded_or_missing_stays_as_it_is():
    with version_alone("pytest"), version_alone("no_such_package"):
        assert importlib.import_module("pytest") is pytest
        with pytest.raises(ImportError):
            importlib.import_module("no_such_package")
    assert importlib.import_module("pytest") is pytest


def test_fabric_loads_no_torchmetrics():
    code = "import sys; from likewise.training.fabric_import import load_fabric; print(load_fabric()); "
    code += "print('torchmetrics' in sys.modules or 'scipy' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    assert said.split()[-1] == "False" and "Fabric" in said


def test_a_fabric_that_asks_for_more_gets_the_whole_package(tmp_path):
    (tmp_path / "lightning_fabric.py").write_text(
        "from torchmetrics import Metric\nFabric = Metric\n"
    )
    code = "from likewise.training.fabric_import import load_fabric; print(load_fabric().__name__)"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        timeout=300,
    ).stdout
    assert said.split()[-1] == "Metric"
