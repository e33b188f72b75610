import pytest

from faults.processes import run, training, write_pictures


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    """A finished run of 12 steps."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    code, output = run(training(pictures, out, "--steps", 12))
    assert code == 0, output
    return out
