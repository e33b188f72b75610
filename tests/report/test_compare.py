import io

import pytest
from html_tree import parse
from rich.console import Console

from likewise.errors import LikewiseError
from likewise.json_files import read_json, write_json
from likewise.report.compare import compare


def change(run, which, edit):
    path = getattr(run, which)
    content = read_json(path)
    edit(content)
    write_json(path, content)


def test_speed_up_of_the_second_run_over_the_first(make_run, tmp_path):
    runs = [make_run("a"), make_run("b", half=16_000, speed=4_000)]
    found = compare(runs, tmp_path / "compare.html", None)
    # The curves are hyperbolas sampled ten times, so straight lines between samples are a little off 0.40 and 0.50.
    assert found.speed_ups[0].ratios == {
        "images": pytest.approx(0.40, abs=0.01),
        "seconds": pytest.approx(0.50, abs=0.01),
    }
    assert found.page == tmp_path / "compare.html"
    page = parse(found.page.read_text().split("<body>")[1].split("</footer>")[0] + "</footer>")
    assert page.one("p", class_="verdict").text == found.sentence
    rows = page.one(id="scores").one("table").rows()
    assert rows[0][1:3] == ["a", "b"]
    assert {row[0] for row in rows[1:]} == {
        "k-NN (k=20)",
        "linear probe",
        "linear probe, 10 labels per class",
    }
    assert found.score == "knn20_top1"


def test_a_run_that_never_gets_there_is_said_both_ways(make_run):
    found = compare([make_run("a"), make_run("b", half=80_000)])
    never, other_way = found.speed_ups
    assert (never.run, never.ratios) == ("b", None) and never.best == pytest.approx(0.575, abs=1e-3)
    assert (other_way.run, other_way.reference) == ("a", "b")
    assert other_way.ratios["images"] == pytest.approx(0.5, abs=0.01)


def test_label_budgets_may_differ_but_are_said(make_run):
    runs = [make_run("a", labels="10"), make_run("b", labels="none")]
    change(
        runs[1],
        "scores",
        lambda scores: scores["trained"][1]["protocol"].update(
            labelled=60, strength=1.0, validation=12
        ),
    )
    found = compare(runs)
    assert not found.incomparable
    assert "10 labels per class" in found.notes[0] and "no labels" in found.notes[0]


def test_another_seed_may_differ_but_is_said(make_run):
    runs = [make_run("a"), make_run("b")]
    change(runs[1], "config", lambda config: config["settings"].update(seed=1))
    assert len(compare(runs).notes) == 1 and not compare(runs[:1] * 2).notes


@pytest.mark.parametrize(
    ("which", "edit", "reason"),
    [
        (
            "scores",
            lambda s: s["trained"][0]["protocol"].update(temperature=0.1),
            "temperature 0.07 and 0.1",
        ),
        (
            "scores",
            lambda s: s["trained"][0]["protocol"].update(k_requested=200),
            "k requested 20 and 200",
        ),
        (
            "scores",
            lambda s: s["trained"][1].update(count=1000),
            "over 2,000 and 1,000 test images",
        ),
        ("data", lambda d: d["splits"].update(test=1000), "different test images (2000 and 1000)"),
        ("data", lambda d: d["classes"][0].update(name="Shirt"), "different classes"),
        ("data", lambda d: d.update(source="other"), "different data"),
    ],
)
def test_incomparable_protocols_are_refused_unless_allowed(make_run, tmp_path, which, edit, reason):
    runs = [make_run("a"), make_run("b")]
    change(runs[1], which, edit)
    with pytest.raises(LikewiseError, match="--allow-incomparable") as refused:
        compare(runs, tmp_path / "compare.html")
    assert reason in str(refused.value)
    assert not (tmp_path / "compare.html").exists()
    allowed = compare(runs, tmp_path / "compare.html", allow_incomparable=True)
    assert reason in allowed.incomparable[0]
    note = parse(
        (tmp_path / "compare.html").read_text().split("<header>")[1].split("</header>")[0]
    ).one(class_="note")
    assert allowed.incomparable[0] in note.text


def test_differing_settings_only_are_listed(make_run, tmp_path):
    runs = [make_run("a"), make_run("b", method="suncet")]
    change(runs[1], "config", lambda config: config["method"]["settings"].update(weight=0.5))
    compare(runs, tmp_path / "compare.html")
    listing = (
        (tmp_path / "compare.html").read_text().split('id="settings-title"')[1].split("<footer")[0]
    )
    assert "method.settings.weight" in listing and "method.name" in listing
    assert "settings.out" not in listing  # differs, but says nothing about what was learned
    assert "batch_size" not in listing and "temperature" not in listing


def test_misuse_is_told(make_run, tmp_path):
    a, b = make_run("a"), make_run("b")
    with pytest.raises(LikewiseError, match=r"\b1\b.*likewise compare"):
        compare([a])
    with pytest.raises(LikewiseError, match="knn20_top1"):
        compare([a, b], score="knn2_top1")
    notes = tmp_path / "notes.html"
    notes.write_text("mine")
    with pytest.raises(LikewiseError, match="--out"):
        compare([a, b], notes)
    assert notes.read_text() == "mine"
    compare([a, b], tmp_path / "compare.html")
    compare([a, b], tmp_path / "compare.html")  # a page of ours is replaced


def test_without_curves_or_scores_the_page_says_so(make_run, tmp_path):
    a, b = make_run("a"), make_run("b")
    b.metrics.write_text("")
    b.scores.unlink()
    found = compare([a, b], tmp_path / "compare.html")
    assert found.score is None and found.speed_ups == ()
    assert "scores.json" in (tmp_path / "compare.html").read_text()


def test_runs_of_one_name_are_told_apart_and_names_are_not_markup(make_run):
    runs = [make_run("x/[red]a"), make_run("y/[red]a")]
    found = compare(runs)
    assert found.names == tuple(str(run.path) for run in runs)
    text = io.StringIO()
    Console(file=text, width=400).print(found)
    assert "[red]a" in text.getvalue().split("k-NN")[0]
