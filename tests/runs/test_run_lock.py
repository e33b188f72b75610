"""Two processes never train in one folder, and a killed one never blocks it."""

import multiprocessing
import os
import platform
import time

import pytest

from likewise.errors import LikewiseError
from likewise.json_files import read_json, write_json
from likewise.run_folder import RunFolder
from likewise.runs.run_lock import locked


def hold(run, is_locked):
    with locked(run):
        is_locked.set()
        time.sleep(60)


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path)
    run.create()
    return run


@pytest.fixture
def holder(run):
    """Another process that has the folder locked."""
    fork = multiprocessing.get_context("fork")
    is_locked = fork.Event()
    process = fork.Process(target=hold, args=(run, is_locked))
    process.start()
    assert is_locked.wait(60)
    yield process
    process.kill()
    process.join(300)


def test_the_second_is_refused_and_told_who_has_it(run, holder):
    with pytest.raises(LikewiseError) as refused, locked(run):
        pass
    for word in (str(holder.pid), platform.node(), str(run.path), "--out"):
        assert word in str(refused.value)
    assert read_json(run.owner)["pid"] == holder.pid  # the refusal leaves the other's lock alone


def test_a_killed_process_leaves_no_block_and_is_named(run, holder):
    holder.kill()
    holder.join(300)
    with locked(run) as message:
        assert str(holder.pid) in message
        assert read_json(run.owner)["pid"] == os.getpid()
    with locked(run) as message:
        assert message == ""


def test_a_lock_of_another_machine_is_respected(run):
    write_json(run.owner, {"host": "elsewhere", "pid": 1, "since": "2026-01-01 10:00:00"})
    with pytest.raises(LikewiseError) as refused, locked(run):
        pass
    assert "elsewhere" in str(refused.value) and str(run.owner) in str(refused.value)
    run.owner.unlink()  # what the message says
    with locked(run):
        pass


def test_a_folder_that_was_locked_counts_as_empty(run):
    with locked(run):
        RunFolder(run.path).create()
    RunFolder(run.path).create()


def test_a_damaged_owner_file_does_not_block(run):
    run.owner.write_text("{")
    with locked(run):
        assert read_json(run.owner)["pid"] == os.getpid()
