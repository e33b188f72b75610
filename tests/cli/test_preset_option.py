"""Presets and methods as they are typed: typed over preset over default, and what the screens say."""

import json

import pytest

import likewise as lw
from cli.conftest import SHORT
from likewise import cli
from likewise.methods import METHODS
from likewise.methods.simclr import SimCLR


def config(folder):
    return json.loads((folder / "config.json").read_text())


def test_typed_wins_over_the_preset_and_the_preset_over_the_default(photographs, tmp_path, capsys):
    words = [
        "--method",
        "simclr",
        "--preset=imagenet",
        "--method.hidden",
        "32",
        "--recipe.weight-decay",
        "0.5",
    ]
    cli.main(["train", str(photographs), *words, *SHORT, "--out", str(tmp_path / "a")])
    found = config(tmp_path / "a")
    assert found["settings"]["preset"] == "imagenet"
    assert found["method"]["settings"]["hidden"] == 32
    assert found["method"]["settings"]["temperature"] == 0.1
    assert found["recipe"]["weight_decay"] == 0.5
    assert found["recipe"]["learning_rate"] == 0.3
    assert found["recipe"]["warm_up"] == 0.1
    assert (found["settings"]["epochs"], found["settings"]["batch_size"]) == (100, 8)
    assert found["settings"]["image_size"] == 16
    assert "--preset=imagenet" in found["resume"]
    assert "simclr, preset imagenet" in " ".join(capsys.readouterr().out.split())


def test_from_python_likewise(photographs, tmp_path):
    given = {"image_size": 16, "steps": 1, "num_evals": 0, "device": "cpu"}
    small = {"batch_size": 8, **given}
    run = lw.train(str(photographs), method="simclr", preset="small", out=tmp_path / "a", **small)
    found = config(run.folder.path)
    assert found["settings"]["preset"] == "small"
    assert found["method"]["settings"]["temperature"] == 0.5
    assert found["recipe"]["learning_rate"] == 1.0
    assert found["settings"]["epochs"] == 1000
    plain = lw.train(str(photographs), method="simclr", out=tmp_path / "b", **small)
    found = config(plain.folder.path)
    assert found["settings"]["preset"] is None
    assert found["method"]["settings"]["temperature"] == SimCLR().temperature
    # The preset's batch of 512 does not fit 42 images.
    with pytest.raises(lw.LikewiseError, match="512"):
        lw.train(str(photographs), method="simclr", preset="small", out=tmp_path / "c", **given)


@pytest.mark.parametrize("width", [80, 120])
def test_all_methods_are_listed_within_the_width(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    cli.main(["methods"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    first_words = [line.split()[0] for line in lines if line.startswith("  ") and line.strip()]
    assert [name for name in METHODS if name not in first_words] == []


def test_one_method_is_shown_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    cli.main(["methods", "Moco_V2"])
    output = " ".join(capsys.readouterr().out.split())
    for part in (
        "MoCo v2",
        "no labels",
        "arxiv.org/abs/2003.04297",
        "65536",
        "momentum",
        "imagenet",
        "batches must be",
    ):
        assert part in output


def test_help_says_when_to_use_which(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    for words in (
        ["train", "--help"],
        ["train", "--method", "cacr", "--preset", "imagenet", "--help"],
    ):
        with pytest.raises(SystemExit):
            cli.main(words)
    whole = capsys.readouterr().out
    output = " ".join(whole.replace("│", " ").split())
    for kind in METHODS.values():
        assert kind.card.choose_when in output
    assert "large" not in METHODS["cacr"].card.presets
    assert "(now: imagenet)" in output
    assert "(default: 65536)" in output
