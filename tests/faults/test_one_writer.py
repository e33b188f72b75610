"""Two processes that are told to write to one place: the second is refused, and what the first writes is whole."""

import signal
import sys

import pytest
from filelock import FileLock

from faults.processes import command, finish, require_plain, run, start, wait_for
from likewise.vectors import read_vectors
from likewise.write_lock import LOCK

pytestmark = [pytest.mark.slow, pytest.mark.faults]

SLOWLY = """
import sys, time
from likewise.data.pixel_source import FilePixels
read = FilePixels.read
def slowly(*given):
    time.sleep(5)
    return read(*given)
FilePixels.read = slowly
from likewise import cli
cli.main(sys.argv[1:])
"""


def slowly(words):
    """The same command on a disk that is slow."""
    return [sys.executable, "-c", SLOWLY, *words[3:]]


@pytest.fixture
def writing(pictures, trained, tmp_path):
    """A command for each kind of output, with the file of its lock."""
    folder = tmp_path / "out"
    return {
        "advise": (
            command("advise", pictures, "--time", "15s", "--out", folder, "--overwrite"),
            folder / LOCK,
        ),
        "pack": (command("pack", pictures, "--out", folder), folder / LOCK),
        "parts": (
            command("embed", trained, pictures, "--part-size", 20, "--out", folder),
            folder / LOCK,
        ),
        "predict": (
            command("predict", trained, pictures, "--out", tmp_path / "p.csv"),
            tmp_path / f".p.csv{LOCK}",
        ),
        "embed": (
            command("embed", trained, pictures, "--out", tmp_path / "v.parquet"),
            tmp_path / f".v.parquet{LOCK}",
        ),
        "pseudo-label": (
            command(
                "pseudo-label", pictures, "--labels", "5", "--by", "propagation", "--out", tmp_path / "l.csv"
            ),
            tmp_path / f".l.csv{LOCK}",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("what", ["advise", "pack", "parts", "predict", "embed", "pseudo-label"])
def test_a_place_that_another_process_writes_to_is_refused(what, writing):
    words, lock = writing[what]
    lock.parent.mkdir(exist_ok=True)
    with FileLock(lock):
        code, output = run(words)
        assert [path.name for path in lock.parent.iterdir()] == [lock.name]
    require_plain(output)
    assert code == 2 and "--out" in output


def test_parts_of_a_process_survive_a_second_one_and_a_kill(writing, pictures, trained, tmp_path):
    words, lock = writing["parts"]
    first = start(slowly(words))
    wait_for(lock.exists, process=first)
    code, output = run(words)
    assert code == 2 and "--out" in output
    first.send_signal(signal.SIGKILL)
    finish(first)
    code, output = run(words)
    assert code == 0, output
    assert len(read_vectors(tmp_path / "out").ids) == 80
    assert not lock.exists()
