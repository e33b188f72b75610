"""torchrun, SLURM's srun and Fabric's launcher: a run that moves to two processes ends as it would have on one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import likewise as lw
from likewise.cli import main
from likewise.errors import LikewiseError
from likewise.json_files import read_json
from likewise.runs.moved_run import has_dropout
from likewise.training.launch import launch
from likewise.training.processes import StartedProcesses, started_processes

WORDS = ["images.npy", "--method", "simclr", "--labels", "none", "--encoder", "conv4-half", "--batch-size", "8",
         "--num-evals", "0", "--recipe.schedule", "constant", "--recipe.warm-up", "0", "--device", "cpu"]  # fmt: skip
STEPS = 3
RESUMED = [*WORDS, "--steps", str(2 * STEPS), "--out", "moved", "--resume"]


def likewise_command(*words):
    return [sys.executable, "-m", "likewise.cli", "train", *words]


def torchrun(folder, processes="2"):
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        processes,
    ]
    return [subprocess.Popen([*launcher, "-m", "likewise.cli", "train", *RESUMED], cwd=folder)]


def srun(folder):
    """Two tasks as srun starts them, by its environment variables."""
    tasks = []
    for number in "01":
        slurm = {
            "SLURM_JOB_ID": "29534",
            "SLURM_NTASKS": "2",
            "SLURM_NNODES": "1",
            "SLURM_NODEID": "0",
        }
        slurm |= {"SLURM_PROCID": number, "SLURM_LOCALID": number, "SLURM_JOB_NAME": "likewise"}
        tasks.append(
            subprocess.Popen(likewise_command(*RESUMED), cwd=folder, env={**os.environ, **slurm})
        )
    return tasks


def fabric(folder):
    return [subprocess.Popen(likewise_command(*RESUMED, "--devices", "2"), cwd=folder)]


def fully_sharded(folder):
    """Each process with its part of the weights; simclr's default optimiser is LARS."""
    words = likewise_command(*RESUMED, "--devices", "2", "--strategy", "fsdp")
    return [subprocess.Popen(words, cwd=folder)]


def four_processes(folder):
    return torchrun(folder, "4")


def one_task_of_slurm(folder):
    """A batch script that asks for one task and starts its processes itself."""
    slurm = {
        "SLURM_JOB_ID": "1",
        "SLURM_NTASKS": "1",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_PROCID": "0",
    }
    slurm |= {"SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NNODES": "1"}
    words = likewise_command(*RESUMED, "--devices", "2")
    return [subprocess.Popen(words, cwd=folder, env={**os.environ, **slurm})]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moved")
    np.save(
        folder / "images.npy", np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    )
    return folder


def train(out, steps):
    main(["train", *WORDS, "--steps", str(steps), "--out", out])
    return lw.load(out)


def last_loss(run):
    return json.loads(run.folder.metrics.read_text().splitlines()[-1])["loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher", [torchrun, srun, fabric, fully_sharded, one_task_of_slurm, four_processes]
)
def test_a_run_moves_to_more_processes_and_keeps_the_mathematics(
    launcher, data, tmp_path, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "images.npy").write_bytes((data / "images.npy").read_bytes())
    monkeypatch.chdir(tmp_path)
    whole = train("whole", 2 * STEPS)
    train("moved", STEPS)
    for process in launcher(tmp_path):
        assert process.wait(timeout=240) == 0
    moved = lw.load("moved")
    assert read_json(moved.folder.environment)["devices"] == (
        4 if launcher is four_processes else 2
    )
    assert read_json(moved.folder.config)["steps"] == 2 * STEPS
    expected = whole.encoder.state_dict()
    for name, tensor in moved.encoder.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-5)
    assert last_loss(moved) == pytest.approx(last_loss(whole), rel=1e-4)
    assert "to rounding" in moved.folder.log.read_text()
    assert "to rounding" not in whole.folder.log.read_text()


def slurm(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)


def test_processes_on_several_nodes_are_counted(monkeypatch):
    assert started_processes() is None
    slurm(monkeypatch, NTASKS="8", NNODES="2", PROCID="5")
    assert started_processes() == StartedProcesses("srun", 8, 2)
    for name, value in {
        "TORCHELASTIC_RUN_ID": "1",
        "WORLD_SIZE": "16",
        "LOCAL_WORLD_SIZE": "4",
    }.items():
        monkeypatch.setenv(name, value)
    assert started_processes() == StartedProcesses("torchrun", 16, 4)


def test_a_shell_on_a_node_of_slurm_is_one_process(monkeypatch):
    slurm(monkeypatch, NTASKS="2", PROCID="0", JOB_NAME="interactive")
    assert started_processes() is None


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"NTASKS": "2"}, "srun"),
        ({"NTASKS": "3", "NNODES": "2", "PROCID": "0"}, "--ntasks-per-node"),
    ],
)
def test_tasks_that_cannot_be_used_are_refused(variables, named, monkeypatch):
    slurm(monkeypatch, **variables)
    with pytest.raises(LikewiseError, match=named):
        started_processes()


def test_another_number_of_devices_than_was_started_is_refused(monkeypatch):
    slurm(monkeypatch, NTASKS="2", PROCID="0", LOCALID="0", NODEID="0")
    with pytest.raises(LikewiseError, match=r"--devices 4.*2 processes"):
        launch("cpu", devices=4)


def test_dropout_is_told_from_none():
    assert not has_dropout(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)))
    assert has_dropout(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)))
    path = nn.Identity()
    path.drop_prob = 0.2
    assert has_dropout(nn.Sequential(path))


@pytest.mark.parametrize(
    ("cores", "said"), [(1, "is 1 .* Choose 1, "), (6, "are 6 .* Choose 1 to 6, ")]
)
def test_more_devices_than_there_are_name_those_that_there_are(cores, said, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    with pytest.raises(LikewiseError, match=f"--devices 9 .*{said}"):
        launch("cpu", 9)
