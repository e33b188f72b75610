"""Every case of the losses' kernels through Triton's interpreter, in one process, which imports once for all files."""

from pathlib import Path

import pytest

from losses.kernels import needs_triton, pass_through_the_interpreter, runs_elsewhere


@pytest.mark.long
@needs_triton
@runs_elsewhere
def test_every_case_of_every_file():
    files = sorted(Path(__file__).parent.rglob("test_*.py"))
    of_kernels = [file for file in files if "\n@on_kernels" in file.read_text()]
    assert len(of_kernels) > 1
    pass_through_the_interpreter(*of_kernels)
