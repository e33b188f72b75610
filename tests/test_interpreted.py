"""The cases of a GPU's kernels through Triton's interpreter, in one process, which imports once for all files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from losses.kernels import needs_triton, runs_elsewhere

HERE = Path(__file__).parent


def files_of_kernels():
    files = sorted(HERE.rglob("test_*.py"))
    return [file for file in files if "\n@on_kernels" in file.read_text()]


@pytest.mark.long
@needs_triton
@runs_elsewhere
@pytest.mark.parametrize("which", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_every_case_of_every_file(which):
    """Those whose name begins with ``test_kernels``."""
    words = ["-m", "pytest", *files_of_kernels(), "-k", "test_kernels", "-m", which]
    run = subprocess.run(
        [sys.executable, *words, "-p", "no:cacheprovider", "-p", "no:xdist"],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "skipped" not in run.stdout


def test_files_of_every_folder_are_found():
    firsts = {file.relative_to(HERE).parts[0] for file in files_of_kernels()}
    assert firsts >= {"losses", "training", "views", "test_randomness.py"}
