"""Nothing is asked of the network where data are local; and nothing at all where LIKEWISE_OFFLINE is set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import likewise as lw
from data.pictures import photo_folder
from likewise.encoders.from_timm import timm_encoder
from likewise.encoders.pretrained_text import text_folder
from likewise.offline import CLIENTS

WITHOUT_NETWORK = """
import json, socket, sys

asked = []

def refuse(*address, **options):
    asked.append(str(address))
    raise OSError("there is no network")

class Local(socket.socket):
    # One that reaches this machine's own files alone; urllib3 opens one to see whether there is IPv6.

    def connect(self, address):
        super().connect(address) if self.family == socket.AF_UNIX else refuse(address)

    def connect_ex(self, address):
        return super().connect_ex(address) if self.family == socket.AF_UNIX else refuse(address)

    def sendto(self, *message):
        refuse(message[-1])

socket.socket = Local
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse
import likewise.cli
try:
    likewise.cli.main(sys.argv[1:])
finally:
    print("ASKED " + json.dumps(asked))
"""
TRAIN = (
    "--method",
    "supcon",
    "--encoder",
    "conv4-half",
    "--steps",
    "2",
    "--batch-size",
    "8",
    "--device",
    "cpu",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    photo_folder(
        folder / "photos", *(f"{name}/{i}.png" for name in ("cat", "dog") for i in range(20))
    )
    return folder


def likewise(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK, *words], capture_output=True, text=True, cwd=folder, timeout=280,
        env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "160", **environment},
    )  # fmt: skip


def asked_for(done: subprocess.CompletedProcess) -> list[str]:
    line = next(line for line in done.stdout.splitlines() if line.startswith("ASKED "))
    return json.loads(line.removeprefix("ASKED "))


@pytest.mark.slow
def test_no_command_asks_the_network_for_anything(folder):
    commands = [
        ("doctor", "photos"),
        ("train", "photos", *TRAIN, "--out", "run"),
        ("evaluate", "run"),
        ("embed", "run", "photos"),
        ("search", "run", "photos/cat/0.png"),
        ("predict", "run", "photos"),
        *(
            ("export", "run", "--to", kind)
            for kind in ("safetensors", "timm", "onnx", "torchscript")
        ),
        ("report", "run"),
        ("compare", "run", "run"),
        ("advise", "photos", "--time", "20s"),
    ]
    for words in commands:
        done = likewise(folder, *words)
        assert asked_for(done) == [], words
        assert done.returncode == 0 or words[:4:3] == ("export", "timm"), (words, done.stderr)


@pytest.mark.slow  # the hub's client waits and tries again
def test_the_network_is_asked_where_weights_are_not_here(folder):
    """So that the test above means something."""
    words = (
        "train",
        "photos",
        *TRAIN[:2],
        "--encoder",
        "timm/resnet18.a1_in1k",
        "--pretrained",
        "timm",
        "--out",
        "x",
    )
    done = likewise(folder, *words, HF_HOME=str(folder / "nothing"), HF_HUB_DISABLE_TELEMETRY="1")
    assert done.returncode == 1 and asked_for(done)
    done = likewise(folder, *words, HF_HOME=str(folder / "nothing"), LIKEWISE_OFFLINE="1")
    assert done.returncode == 2 and not asked_for(done)
    assert "LIKEWISE_OFFLINE" in done.stderr


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("LIKEWISE_OFFLINE", "1")
    for name in CLIENTS:
        monkeypatch.setenv(name, "")  # as before, once the test is over


@pytest.mark.parametrize(
    "data",
    ["hf:owner/name-of-nothing", "s3://bucket/train-{0..3}.tar", "https://host.invalid/a.parquet"],
)
def test_data_elsewhere_are_refused_by_the_variables_name(offline, data):
    with pytest.raises(lw.LikewiseError, match="LIKEWISE_OFFLINE") as refusal:
        lw.doctor(data)
    assert data.partition("{")[0] in str(refusal.value)


def test_weights_elsewhere_are_refused_by_the_variables_name(offline):
    with pytest.raises(lw.LikewiseError, match=r"vit_tiny_patch16_224.*LIKEWISE_OFFLINE"):
        timm_encoder(
            "vit_tiny_patch16_224.augreg_in21k", 224, False, (0.5,) * 3, (0.5,) * 3, pretrained=True
        )
    with pytest.raises(lw.LikewiseError, match=r"owner/encoder-of-nothing.*LIKEWISE_OFFLINE"):
        text_folder("owner/encoder-of-nothing")


@pytest.mark.parametrize("value", ["", "0"])
def test_the_variable_is_off_where_it_is_zero(monkeypatch, value):
    monkeypatch.setenv("LIKEWISE_OFFLINE", value)
    from likewise.offline import is_offline, require_online

    assert not is_offline()
    require_online("something", "nothing.")
