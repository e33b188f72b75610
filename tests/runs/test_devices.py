"""A script that trains on two devices runs as two ranks, and both get the same scores."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

import likewise as lw

SETTINGS = {
    "encoder": "conv4-half",
    "batch_size": 8,
    "steps": 2,
    "num_evals": 0,
    "device": "cpu",
    "loggers": (),
}

SCRIPT = f"""
import json, os
import likewise as lw

seen = []
for _ in range(2):  # the second run takes the next free folder, in both ranks
    run = lw.train("images.npz", method="simclr", labels="none", devices=2, **{SETTINGS!r})
    seen.append([run.folder.path.name, run.scores])
try:
    lw.train("images.npz", method="simclr", devices=1, **{SETTINGS!r})
except lw.LikewiseError as error:
    seen.append("devices=2" in str(error))
with open("rank-" + os.environ["LOCAL_RANK"] + ".json", "w") as file:
    json.dump(seen, file)
"""


@pytest.fixture
def images(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(24) % 2)
    monkeypatch.chdir(tmp_path)
    return "images.npz"


@pytest.mark.long
def test_every_rank_of_a_script_returns_the_same_scores_twice(images, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "script.py"]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=240, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    # Another rank than the first may end after the script that started it.
    one, other = (read_when_written(tmp_path / f"rank-{rank}.json") for rank in "01")
    assert one == other
    (first_name, first_scores), (second_name, _), refused = one
    assert "linear_top1" in first_scores
    assert first_name != second_name
    assert refused


def read_when_written(path):
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text().endswith("]")):
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.1)
    return json.loads(path.read_text())


def test_several_devices_in_a_notebook_are_refused(images, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(lw.LikewiseError, match=r"likewise train .*--devices 2"):
        lw.train(images, method="simclr", labels="none", devices=2, out=tmp_path / "a", **SETTINGS)
    assert not (tmp_path / "a").exists()
