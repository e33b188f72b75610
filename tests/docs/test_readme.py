"""The README's commands and its Python, run as they stand there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from cli.conftest import SHORT, write_photographs
from data.videos import write_video

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language=""):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands():
    """Every line of the README that calls likewise, without its comment."""
    lines = [line.partition("#")[0].strip() for block in blocks() for line in block.splitlines()]
    return [line for line in lines if line.startswith("likewise ")]


def run(arguments, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=folder, env=environment, timeout=400
    )


def weights_of_resnet(path):
    """What `--pretrained` would find in timm's cache, as a local file: there is no network here."""
    import timm
    import torch

    torch.save(timm.create_model("resnet18", num_classes=0).state_dict(), path)
    return path


def write_sounding_videos(folder, count=24):
    """A second and a half of grain each, with a tone of its own; and beside the folder the sound of one of them."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        frames = random.integers(0, 255, (38, 16, 16, 3), dtype=np.uint8)
        tone = 0.4 * np.sin(2 * np.pi * (200 + 50 * number) * np.arange(24_000) / 16_000)
        write_video(folder / f"{number:02d}.mp4", frames, sound=tone, rate=25.0)
    with wave.open(str(folder.parent / "bell.wav"), "wb") as bell:
        bell.setnchannels(1)
        bell.setsampwidth(2)
        bell.setframerate(16_000)
        bell.writeframes((tone * 32767).astype(np.int16).tobytes())


def test_every_command_runs_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # decoded videos are kept below it
    write_sounding_videos(tmp_path / "videos")
    photographs = write_photographs(tmp_path / "photos", each=20)
    rows = [f"{path.relative_to(photographs)},{path.parent.name}" for path in sorted(photographs.rglob("*.png"))[::2]]
    (tmp_path / "labels.csv").write_text("\n".join(["image_path,label", *rows]) + "\n")
    shutil.copytree(photographs / "cat", tmp_path / "more")
    shutil.copy(photographs / "cat" / "03.png", tmp_path / "query.png")
    shutil.copytree(photographs, tmp_path / "fresh")
    assert len(commands()) >= 8
    for command in commands():
        words = shlex.split(command)[1:]
        if words[0] == "train":
            words += list(SHORT)
        if "--pretrained" in words:
            words.insert(words.index("--pretrained") + 1, str(weights_of_resnet(tmp_path / "resnet18.pth")))
        if "suncet" in words:
            words[words.index("--labels") + 1] = "4"  # the photographs made here are too few to show ten of each
        if words[0] == "compare":  # the README's run without labels is the first that was trained
            run(["-m", "likewise.cli", "train", "photos", "--method", "simclr", *SHORT], tmp_path)
            words.append("--allow-unlike")
        words = [word.replace("query.jpg", "query.png") for word in words]
        done = run(["-m", "likewise.cli", *words], tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "compare.html").exists()
    assert "photos" in str(sorted((tmp_path / "runs").iterdir()))


def test_python_block_runs(tmp_path):
    (block,) = blocks("python")
    (tmp_path / "readme.py").write_text(block)
    done = run(["readme.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "linear_top1" in done.stdout


def test_every_method_stands_in_the_table():
    from likewise.methods import METHODS

    listed = set(re.findall(r"^\| `([a-z0-9-]+)` \|", README, re.MULTILINE))
    assert listed - {"--method"} == set(METHODS)


def test_pictures_and_links_are_there():
    targets = re.findall(r"\]\(((?!http)[^)]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_method_has_a_page_of_its_own():
    from likewise.methods import METHODS

    for name in METHODS:
        page = (ROOT / "docs" / "methods" / f"{name}.md").read_text()
        assert "tep" in page and "## Where it differs" in page and "## What we measured" in page, name
        assert "https://arxiv.org/abs/" in page, name


@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_sets_itself_up(target):
    """Both commands stand in the Makefile behind the installation, which itself depends on the dependencies' list."""
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}: \.venv/ready$", makefile, re.MULTILINE)
    assert re.search(r"^\.venv/ready: pyproject\.toml$", makefile, re.MULTILINE)
