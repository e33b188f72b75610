"""A checkpoint that a disk has changed is found, and the one before it takes its place."""

import zipfile

import pytest
import torch

from likewise.errors import EnvironmentIOError, LikewiseError
from likewise.run_folder import RunFolder
from likewise.training import Interrupted
from likewise.training.checkpoint import damage, find_start, read_torch, write_torch
from training.test_resume import STEPS, StopAfter, losses, run_once


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.ckpt"
    write_torch(
        path,
        {"format": 3, "step": 7, "a": torch.arange(5.0), "b": torch.ones(3, 2, dtype=torch.int64)},
    )
    return path


def test_what_is_stored_comes_back_and_pytorch_reads_it_too(file):
    assert damage(file) == ""
    for content in (read_torch(file, ""), torch.load(file, weights_only=True)):
        assert content["step"] == 7 and torch.equal(content["a"], torch.arange(5.0))


def test_a_change_of_any_single_byte_is_found(file):
    whole = file.read_bytes()
    unnoticed = []
    # Everything in it is looked at, and a part of the bytes before.
    directory = whole.index(b"PK\x01\x02")
    for position in [*range(0, directory, 5), *range(directory, len(whole))]:
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        if not damage(file):
            unnoticed.append(position)
    assert unnoticed == []


@pytest.mark.parametrize("length", [0, 1, 30, 400, -1, -23, -60])
def test_a_file_that_is_cut_short_is_found(length, file):
    file.write_bytes(file.read_bytes()[:length])
    assert damage(file)
    with pytest.raises(LikewiseError, match="what to do"):
        read_torch(file, "what to do")


class Acting:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_that_would_act_does_not(tmp_path):
    """Neither with a right checksum nor without one."""
    acted = tmp_path / "acted"
    write_torch(tmp_path / "signed.ckpt", {"format": 3, "step": Acting(acted)})
    torch.save({"format": 3, "step": Acting(acted)}, tmp_path / "plain.ckpt")
    for name in ("signed.ckpt", "plain.ckpt"):
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        (tmp_path / "checkpoints" / "last.ckpt").write_bytes((tmp_path / name).read_bytes())
        with pytest.raises(LikewiseError) as refused:
            run_once(tmp_path, "simclr")
        assert "weights_only" not in str(refused.value)
    assert not acted.exists()


def broken(path):
    """Change a byte in the middle of the largest entry: a tensor's, where there is one."""
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as content:
        largest = max(content.infolist(), key=lambda each: each.compress_size)
        begin = whole.index(content.read(largest), largest.header_offset)
    whole[begin + largest.compress_size // 2] ^= 1
    path.write_bytes(whole)


@pytest.mark.parametrize("name", ["simclr", "moco-v2", "fixmatch"])
def test_the_checkpoint_before_a_damaged_one_is_used_and_said_and_the_end_is_the_same(
    name, tmp_path
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        RunFolder(folder).create()
    _, weights = run_once(whole, name)
    for stop in (StopAfter(2), StopAfter(2)):
        with pytest.raises(Interrupted):
            run_once(parts, name, stop)
    run = RunFolder(parts)
    broken(run.checkpoint)
    state, resumed = run_once(parts, name)
    assert state.step == STEPS
    assert [key for key in weights if not torch.equal(weights[key], resumed[key])] == []
    assert losses(whole) == losses(parts)
    assert run.checkpoint.with_name("last.ckpt.damaged").exists()
    assert not damage(run.checkpoint)


def test_the_message_names_the_damaged_file_and_the_step(tmp_path):
    run = RunFolder(tmp_path)
    run.create()
    write_torch(run.previous_checkpoint, {"format": 3, "step": 1200})
    write_torch(run.checkpoint, {"format": 3, "step": 1300})
    assert find_start(run) == (run.checkpoint, "")
    broken(run.checkpoint)
    start = find_start(run)
    assert start.checkpoint == run.previous_checkpoint
    assert str(run.checkpoint) in start.message and "1,200" in start.message


def test_where_no_checkpoint_is_whole_one_message_says_what_to_type(tmp_path):
    run = RunFolder(tmp_path)
    run.create()
    assert find_start(run).checkpoint is None
    for path in (run.previous_checkpoint, run.checkpoint):
        write_torch(path, {"format": 3, "step": 1})
        broken(path)
    with pytest.raises(LikewiseError) as refused:
        find_start(run)
    for word in (str(run.checkpoint), str(run.previous_checkpoint), "--overwrite"):
        assert word in str(refused.value)
    assert run.checkpoint.exists() and run.previous_checkpoint.exists()


def test_a_kill_between_the_two_renames_leaves_the_one_before(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        RunFolder(folder).create()
    _, weights = run_once(whole, "simclr")
    with pytest.raises(Interrupted):
        run_once(parts, "simclr", StopAfter(2))
    run = RunFolder(parts)
    run.checkpoint.rename(run.previous_checkpoint)
    _, resumed = run_once(parts, "simclr")
    assert [key for key in weights if not torch.equal(weights[key], resumed[key])] == []


def test_a_run_whose_folder_was_removed_stops(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.create()

    def remove(nets):
        run.path.rename(tmp_path / "elsewhere")
        return {"knn20_top1": 0.5}

    with pytest.raises(EnvironmentIOError, match="run"):
        run_once(run.path, "simclr", remove)
    assert not run.path.exists()
