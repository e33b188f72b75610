"""Runs that are killed at random instants, in the middle of a write too, end bit for bit as those that are not."""

import multiprocessing
import os
import random
import signal
import time

import pytest
import torch
from lightning_fabric import Fabric

from faults.processes import (
    FOREVER,
    children_of,
    end_of,
    from_files,
    kill_at_random,
    losses,
    require_plain,
    resume,
    run,
    start,
    training,
    wait_for,
    wait_for_checkpoint,
    write_pictures,
)
from likewise.methods import Recipe
from likewise.run_folder import RunFolder
from likewise.training import LoopSettings, train
from methods.fixtures import loader, method, nets_of

pytestmark = [pytest.mark.slow, pytest.mark.faults]

STEPS, KILLS = 12, 5
METHODS = ("simclr", "supcon", "moco-v2", "suncet", "swav", "comatch", "byol", "ugan")
fork = multiprocessing.get_context("fork")


def loop(folder, name):
    """The loop with a checkpoint at every step; the weights go into a file at its end."""
    torch.set_num_threads(1)
    rule = method(name)
    nets = nets_of(rule)
    plan = LoopSettings(STEPS, seed=4, log_every=1, save_every=1)
    train(
        Fabric(accelerator="cpu", devices=1),
        rule,
        nets,
        loader(rule),
        Recipe("lars", 0.2),
        plan,
        RunFolder(folder),
    )
    torch.save(nets.state_dict(), folder / "end.pt")


def fork_loop(folder, name):
    process = fork.Process(target=loop, args=(folder, name))
    process.start()
    return process


def wait_for_a_write(folder, process):
    """Until a checkpoint is half written, or the run is over."""
    while process.is_alive() and not any((folder / "checkpoints").glob("*.partial")):
        time.sleep(0)


@pytest.mark.parametrize("name", METHODS)
def test_a_loop_that_is_killed_again_and_again_ends_the_same(name, tmp_path):
    rng = random.Random(name)
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    for each in (whole, parts):
        each.create()
    began = time.monotonic()
    process = fork_loop(whole.path, name)
    process.join(600)
    longest = time.monotonic() - began
    killed = 0
    for number in range(KILLS):
        process = fork_loop(parts.path, name)
        if number % 2:
            time.sleep(rng.uniform(0.2, 0.6) * longest)
            wait_for_a_write(parts.path, process)
        else:
            time.sleep(rng.uniform(0.2, 0.9) * longest)
        process.kill()
        process.join(300)
        killed += process.exitcode == -signal.SIGKILL
    process = fork_loop(parts.path, name)
    process.join(600)
    assert process.exitcode == 0
    assert killed > 0
    ends = [torch.load(each.path / "end.pt", weights_only=True) for each in (whole, parts)]
    assert [key for key in ends[0] if not torch.equal(ends[0][key], ends[1][key])] == []
    assert losses(whole.path) == losses(parts.path)


def test_a_command_that_is_killed_anywhere_ends_the_same(pictures, tmp_path):
    """From its first import to its page."""
    rng, steps = random.Random(1), ("--steps", 30)
    began = time.monotonic()
    code, output = run(training(pictures, tmp_path / "whole", *steps))
    longest = time.monotonic() - began
    assert code == 0, output
    parts = tmp_path / "parts"
    for _ in range(4):
        kill_at_random(start(training(pictures, parts, *steps, *resume(parts))), rng, longest)
    code, output = run(training(pictures, parts, *steps, *resume(parts)))
    assert code == 0, output
    require_plain(output)
    assert end_of(parts) == end_of(tmp_path / "whole")


def test_a_worker_that_is_killed_is_told_in_one_sentence(tmp_path):
    """Images that do not fit in memory are decoded by processes."""
    data, out = write_pictures(tmp_path / "pictures", count=12), tmp_path / "run"
    process = start(from_files(training(data, out, *FOREVER, "--num-workers", 2)))
    wait_for_checkpoint(out, process)
    wait_for(lambda: len(children_of(process.pid)) >= 1, process=process)
    os.kill(children_of(process.pid)[-1], signal.SIGKILL)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    require_plain(output)
    assert "--resume" in output
