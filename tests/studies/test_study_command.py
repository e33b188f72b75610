"""From the command line to the table, the page and the figures."""

import functools
import json

import pytest

import likewise
from likewise import cli
from likewise.errors import LikewiseError
from likewise.studies import STUDIES, feature_decoupling, ugan_toy
from likewise.studies.plane_games import Plane
from likewise.studies.threshold_neurons import Learning


@pytest.fixture
def short(monkeypatch, tmp_path):
    """The study as it is, but of 30 steps and in an empty folder."""
    brief = functools.partial(feature_decoupling.run, learning=Learning(steps=30))
    monkeypatch.setattr(feature_decoupling, "run", brief)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "studies" / "feature-decoupling"


def test_without_a_name_the_studies_are_listed(capsys):
    cli.main(["study"])
    output = capsys.readouterr().out
    assert all(name in output for name in STUDIES)


def test_table_page_and_figures(short, capsys):
    cli.main(["study", "feature-decoupling", "--seed", "4"])
    output = " ".join(capsys.readouterr().out.split())
    assert "mask, ReLU neurons" in output and "no augmentation, linear neurons" in output
    assert "failed" in output  # in 30 steps no feature is found, and that is not kept quiet
    figures = json.loads((short / "study.json").read_text())
    assert (
        figures["seeds"] == [4, 5, 6] and figures["learning"]["steps"] == 30 and not figures["held"]
    )
    assert figures["sentence"] in output
    assert figures["environment"]["machine"]
    assert len(figures["cases"]["mask_relu"]) == 3
    assert len(figures["cases"]["mask_relu"][0]["best"]) == 48
    page = (short / "study.html").read_text()
    assert page.count("data-chart=") == 4
    row = page.split('<th scope="row">mask, linear neurons</th>')[1].split("</tr>")[0]
    spans = [outcome["span"] for outcome in figures["cases"]["mask_linear"]]
    assert f"{min(spans):.2f}" in row and f"{max(spans):.2f}" in row


def test_a_folder_is_replaced_only_when_told(short, capsys):
    short.mkdir(parents=True)
    (short / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit) as left:
        cli.main(["study", "feature-decoupling"])
    assert left.value.code == 2
    assert "--overwrite" in capsys.readouterr().err
    assert [each.name for each in short.iterdir()] == ["notes.txt"]
    cli.main(["study", "feature-decoupling", "--overwrite"])
    assert sorted(each.name for each in short.iterdir()) == [
        "notes.txt",
        "study.html",
        "study.json",
    ]
    (short / "file").write_text("")
    with pytest.raises(LikewiseError, match=r"/file .*--out"):
        likewise.study("feature-decoupling", out=short / "file")


def test_an_unknown_study_is_told(capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(["study", "feature-decupling"])
    assert left.value.code == 2
    assert "'feature-decoupling'" in capsys.readouterr().err


def test_from_python_nothing_is_written_unless_asked(short):
    found = likewise.study("feature-decoupling", seed=1)
    assert found.seeds == [1, 2, 3] and not short.exists()


def test_a_study_of_another_kind_has_its_own_table_and_page(monkeypatch, tmp_path, capsys):
    plane = Plane(points=80, test=100, steps=3, batch=16)
    monkeypatch.setattr(ugan_toy, "run", functools.partial(ugan_toy.run, seeds=2, plane=plane))
    monkeypatch.chdir(tmp_path)
    cli.main(["study", "ugan-toy", "--seed", "3"])
    output = " ".join(capsys.readouterr().out.split())
    assert "bad fakes only" in output and "U3" in output
    folder = tmp_path / "runs" / "studies" / "ugan-toy"
    figures = json.loads((folder / "study.json").read_text())
    assert figures["seeds"] == [3, 4] and figures["sentence"] in output
    page = (folder / "study.html").read_text()
    assert page.count("data-chart=") == 4
    row = page.split('<th scope="row">labels only</th>')[1].split("</tr>")[0]
    assert f"{min(figures['errors']['labels only']['3']):.1%}" in row
    assert "reconstructed" in page


@pytest.mark.slow
def test_the_whole_study_holds():
    found = likewise.study("feature-decoupling", seed=7)
    assert found.held, found.sentence
