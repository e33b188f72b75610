"""The commands and the Python of the README and of the pages for beginners, run as they are written there."""

import os
import re
import shlex
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

from cli.conftest import SHORT, write_photographs
from data.videos import write_video
from likewise.cli import main

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def blocks(page, language=""):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page):
    """Every line of a page that calls likewise, without its comment."""
    lines = [
        line.partition("#")[0].strip() for block in blocks(page) for line in block.splitlines()
    ]
    return [shlex.split(line)[1:] for line in lines if line.startswith("likewise ")]


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


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The files that the pages speak of, in the folder where the commands run."""
    monkeypatch.chdir(tmp_path)
    # An advice would use all of its time; on frozen features it takes seconds.
    monkeypatch.setattr("likewise.advice.programme.at_larger_size", lambda *_: None)
    monkeypatch.setattr(
        "likewise.advice.programme.Programme.try_training", lambda self, sizes: None
    )
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # decoded videos are cached below it
    photographs = write_photographs(tmp_path / "photos", each=20)
    rows = [
        f"{path.relative_to(photographs)},{path.parent.name}"
        for path in sorted(photographs.rglob("*.png"))[::2]
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["image_path,label", *rows]) + "\n")
    shutil.copytree(photographs / "cat", tmp_path / "more")
    shutil.copy(photographs / "cat" / "03.png", tmp_path / "query.png")
    return tmp_path


def shortened(words, folder):
    """A command with a few steps on the small data that a test has, and otherwise as it is written."""
    words = [word.replace("query.jpg", "query.png") for word in words]
    if words[0] == "train":
        if "--steps" in words:
            del words[words.index("--steps") : words.index("--steps") + 2]
        words += list(SHORT)
        if "--resume" in words:
            words.remove("--resume")
            words.append("--overwrite")
    if "--devices" in words:
        words[words.index("--devices") + 1] = "1"
    if "--pretrained" in words:
        words.insert(
            words.index("--pretrained") + 1, str(weights_of_resnet(folder / "resnet18.pth"))
        )
    if "--labels" in words and words[words.index("--labels") + 1] == "10":
        # There are too few photographs here for ten of each class.
        words[words.index("--labels") + 1] = "4"
    if words[0] == "compare" and "--allow-incomparable" not in words:
        words.append("--allow-incomparable")
    return words


def test_every_command_of_the_readme_runs_in_order(data):
    assert len(commands(README)) >= 8
    # The run that `compare` is given besides SuNCEt's.
    main(["train", "photos", "--method", "simclr", *SHORT])
    for words in commands(README):
        main(shortened(words, data))
    assert (data / "compare.html").exists()
    assert (data / "runs" / "photos-suncet" / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["quick-start.md", "label-dial.md", "tasks.md"])
def test_every_command_of_a_page_runs_in_order(page, data):
    write_sounding_videos(data / "videos")
    if page == "tasks.md":
        main(["train", "photos", "--method", "simclr", *SHORT])
    for words in commands(ROOT / "docs" / page):
        if words != ["demo"]:
            main(shortened(words, data))
    assert list((data / "runs").glob("*/report.html"))


@pytest.mark.long
@pytest.mark.parametrize(
    "page", [README, pytest.param(ROOT / "docs" / "quick-start.md", marks=pytest.mark.slow)]
)
def test_python_blocks_run(page, tmp_path, monkeypatch, fewer_garments):
    monkeypatch.chdir(tmp_path)
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), {})
    assert list((tmp_path / "runs").glob("*/report.html"))


def test_pictures_and_links_are_there():
    targets = re.findall(r"\]\(((?!http)[^)]+)\)", README.read_text())
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= 90


def test_every_method_has_a_page_of_its_own():
    from likewise.methods import METHODS

    for name in METHODS:
        page = (ROOT / "docs" / "methods" / f"{name}.md").read_text()
        for heading in ("## Presets", "## Where it differs", "## What we measured"):
            assert re.search(f"^{heading}", page, re.MULTILINE), f"{name} has no {heading!r}"
        assert "https://arxiv.org/abs/" in page, name


@pytest.mark.parametrize(
    ("target", "command"),
    [("demo", "likewise demo"), ("test", "pytest"), ("docs", "zensical build")],
)
def test_make_installs_what_is_missing_before_a_command(target, command, tmp_path):
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    # A make that runs these tests would hand its own settings on, and print the folder that it enters.
    outside = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")
    }
    made = subprocess.run(
        ["make", "-n", target],
        cwd=tmp_path,
        env=outside,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    dry_run = made.stdout.replace(str(tmp_path), "")
    assert "pip install" in dry_run
    assert dry_run.index("pip install") < dry_run.index(command)
