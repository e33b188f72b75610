"""The page of a run, from its folder alone."""

import json

import numpy as np
import pytest
from html_tree import Element, parse

from likewise.errors import EnvironmentIOError, LikewiseError
from likewise.json_files import read_json, write_json
from likewise.report.pages.embedding_map import EmbeddingMap
from likewise.report.pages.page import write_report
from likewise.run_folder import RunFolder

QUICK = EmbeddingMap(projection="pca")


def page_of(run) -> Element:
    """The page without its scripts, which are no HTML."""
    text = write_report(run, QUICK).read_text()
    return parse(text.split("<body>")[1].split("</footer>")[0] + "</footer>")


def section(run, name) -> Element:
    return page_of(run).one("section", id=name)


def test_a_page_is_a_function_of_the_folder(make_run):
    run = make_run()
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert len(first) < 6_000_000
    assert not list(run.path.glob("*.partial"))


def test_what_a_reader_looks_for_first(make_run):
    page = page_of(make_run())
    for part in ("SimCLR", "10,000 images", "photos/<clothes>", "10 labels per class"):
        assert part in page.one("h1").text
    verdict = page.one("p", class_="verdict")
    for number in ("78.9%", "2,000", "70.1%", "60.1%"):
        assert number in verdict.text
    gain = verdict.one("strong", class_="good").text
    assert "+8.8 points" in gain and "7.1 to 10.5" in gain
    assert "few50_top1" in page.one("header").one(class_="note").text
    facts = [
        [element.text for element in group.all("dd")]
        for group in page.one("dl", class_="numbers").all("div")
    ]
    assert [fact[0] for fact in facts] == ["60", "204,800", "41 s", "78.9%"]
    assert (
        "10,000" in facts[0][1]
        and facts[2][1] == "2 x Intel Xeon"
        and "76.9 to 80.9" in facts[3][1]
    )


def test_scores_have_a_row_each_with_interval_and_gain(make_run):
    rows = section(make_run(), "scores").one(class_="scores").rows()
    assert rows[0] == [
        "score",
        "trained",
        "pretrained start",
        "untrained",
        "difference",
        "0% to 100%",
    ]
    by_name = {row[0]: row[1:5] for row in rows[1:]}
    trained, start, untrained, gain = by_name["linear probe"]
    assert (trained, start, untrained) == (
        "78.9% 76.9 to 80.9",
        "70.1% 68.1 to 72.1",
        "60.1% 58.1 to 62.1",
    )
    assert gain == "+8.8 points 7.1 to 10.5"
    assert len(by_name) == 3 and by_name["linear probe, 10 labels per class"][1] == "–"


@pytest.mark.parametrize(
    ("gain", "tone"),
    [
        ({"value": 0.1, "low": 0.08, "high": 0.12}, "good"),
        ({"value": -0.1, "low": -0.12, "high": -0.08}, "bad"),
        ({"value": 0.01, "low": -0.01, "high": 0.03}, ""),
    ],
)
def test_the_verdict_follows_the_interval_of_the_gain(make_run, gain, tone):
    run = make_run()
    scores = read_json(run.scores)
    scores["differences"][0] |= gain
    write_json(run.scores, scores)
    assert page_of(run).one("p", class_="verdict").one("strong").attributes["class"] == tone


def test_a_run_without_a_pretrained_start_is_measured_against_an_untrained_encoder(make_run):
    run = make_run()
    scores = read_json(run.scores)
    del scores["start"]
    write_json(run.scores, scores)
    assert "+18.8 points" in page_of(run).one("p", class_="verdict").one("strong").text


def test_without_a_paired_gain_overlapping_intervals_decide_nothing(make_run):
    run = make_run()
    scores = read_json(run.scores)
    del scores["differences"]
    scores["start"][1] |= {"value": 0.77, "low": 0.75, "high": 0.79}
    write_json(run.scores, scores)
    assert page_of(run).one("p", class_="verdict").one("strong").attributes["class"] == ""


def test_what_is_absent_is_named(make_run):
    run = make_run()
    for path in (run.environment, run.data, run.scores, run.gallery, run.metrics, run.weights):
        path.unlink()
    page = page_of(run)
    missing = [line.text.split()[0] for line in page.one("header").one(class_="note").all("li")]
    assert sorted(missing) == [
        "data.json",
        "environment.json",
        "gallery.npz",
        "metrics.jsonl",
        "scores.json",
    ]
    assert page.one("p", class_="verdict").all("strong") == []
    assert "--resume" in page.one(id="next").one("code").text  # no weights: the run has not ended
    assert len(run.report.read_text()) < 50_000  # no chart, so no plotly


def test_damaged_files_are_named_and_cost_nothing_else(make_run):
    run = make_run()
    run.scores.write_text("{")
    run.gallery.write_bytes(run.gallery.read_bytes()[:1000])
    page = page_of(run)
    assert [line.text.split()[0] for line in page.one("header").one(class_="note").all("li")] == [
        "scores.json",
        "gallery.npz",
    ]
    assert page.one(id="loss")


def test_a_run_without_labels(make_run):
    run = make_run(labels="none")
    label_free = {"trained": {"effective_rank": 60.25, "uniformity": None}}
    write_json(run.scores, {"trained": [], "untrained": [], "label_free": label_free})
    write_json(run.data, {**read_json(run.data), "classes": [], "labelled": 0})
    with np.load(run.gallery) as arrays:
        gallery = dict(arrays)
    nothing = np.full_like(gallery["labels"], -1)
    answers = dict.fromkeys(("labels", "predictions", "all_labels", "all_predictions"), nothing)
    np.savez(run.gallery, **gallery | answers | {"class_names": np.array([], dtype=str)})
    page = page_of(run)
    assert "no labels" in page.one("h1").text
    rows = page.one(id="scores").one("table").rows()[1:]
    assert [row[1] for row in rows] == ["60.2", "–"] and "effective rank" in rows[0][0]
    assert page.all(class_="frame") and not page.all(class_="same") and not page.all(class_="other")
    assert page.one(id="confusion").all("table") == []


def test_the_confusion_matrix_is_that_of_the_gallery(make_run):
    run = make_run()
    with np.load(run.gallery) as arrays:
        labels, predictions = arrays["all_labels"], arrays["all_predictions"]
    _, matrix = page_of(run).one(id="confusion").all("table")
    rows = matrix.rows()
    assert len(rows) == 7 and rows[0][1:] == [row[0] for row in rows[1:]]
    of_first = predictions[labels == 0]
    expected = [
        "" if not (share := (of_first == c).mean()) else f"{100 * share:.0f}" for c in range(6)
    ]
    assert rows[1][1:] == expected
    assert [cell.text for cell in matrix.all("td", class_="right")] == [
        rows[c + 1][c + 1] for c in range(6)
    ]


def test_what_was_found_in_the_data(make_run):
    data = section(make_run(), "data")
    classes, skipped = data.all("table")
    assert classes.rows()[0] == ["class", "images", "visible labels"]
    assert classes.rows()[1] == ["T-shirt/top", "1,000", "10"]
    assert skipped.rows()[1] == ["broken & <i>.jpg", "it is empty (0 bytes)"]
    assert data.one(class_="note").text == "12 images occur twice"


def test_numbers_that_are_none_do_not_reach_the_charts(make_run):
    run = make_run()
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    lines[3]["loss"] = float("nan")
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 12, "lo')
    content = json.loads(section(run, "curves").one("script", **{"data-chart": "loss"}).text)
    values = content["figure"]["data"][0]["y"]
    assert values[3] is None and values[2] == lines[2]["loss"]


def test_recall_has_a_chart_of_its_own(make_run):
    run = make_run()
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    scored = [line for line in lines if "knn20_top1" in line]
    for number, line in enumerate(scored, start=1):
        line |= {"text_to_image_r5": 0.02 * number, "image_to_text_r5": 0.03 * number}
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    part = section(run, "curves")
    content = json.loads(part.one("script", **{"data-chart": "recall"}).text)
    assert [trace["y"][-1] for trace in content["figure"]["data"]] == [
        pytest.approx(0.2),
        pytest.approx(0.3),
    ]
    assert part.one(id="recall") and part.one(id="accuracy")


def test_not_a_run_and_a_folder_that_cannot_be_written(make_run, tmp_path):
    with pytest.raises(LikewiseError, match=r"config\.json"):
        write_report(RunFolder(tmp_path))
    run = make_run()
    (run.path / "report.html.partial").mkdir()
    with pytest.raises(EnvironmentIOError, match=r"report\.html"):
        write_report(run, QUICK)


@pytest.mark.parametrize(("channels", "said"), [(3, False), (1, False), (2, True), (13, True)])
def test_a_page_says_that_it_displays_only_some_of_many_channels(channels, said, make_run):
    run = make_run()
    write_json(run.data, read_json(run.data) | {"channels": channels})
    assert (f"{channels} channels" in section(run, "data").text) == said


def test_a_curve_of_one_point_is_seen_and_accuracy_stays_between_0_and_1(make_run):
    run = make_run()
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    scored = next(line for line in lines if "knn20_top1" in line)
    run.metrics.write_text(json.dumps(scored | {"loss": 1.5}) + "\n")
    part = section(run, "curves")
    charts = {
        kind: json.loads(part.one("script", **{"data-chart": kind}).text)
        for kind in ("loss", "accuracy")
    }
    assert "markers" in charts["loss"]["figure"]["data"][0]["mode"]
    axis = charts["accuracy"]["figure"]["layout"]["yaxis"]
    assert (axis["minallowed"], axis["maxallowed"]) == (0, 1)
