import json
import re

import numpy as np
import pytest

from likewise.errors import EnvironmentIOError, LikewiseError
from likewise.report.pages.embedding_map import EmbeddingMap
from likewise.report.pages.page import write_report
from likewise.run_folder import RunFolder, read_json, write_json

QUICK = EmbeddingMap(projection="pca")


def words(run) -> str:
    return write_report(run, QUICK).read_text().split("<main")[0]


def test_a_page_is_a_function_of_the_folder(make_run):
    run = make_run()
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert len(first) < 6_000_000
    assert not list(run.path.glob("*.partial"))


def test_what_a_reader_looks_for_first(make_run):
    top = words(make_run())
    assert "SimCLR learned from 10,000 images of photos/&lt;clothes&gt;, with 10 labels a class" in top
    assert "78.9% of 2,000 test images, beside 60.1% for an untrained encoder" in top
    assert "Training gained +18.8 points (17.1 to 20.5)." in top
    assert "few50_top1 was left out" in top
    facts = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd><dd>(.*?)</dd>", top)
    assert facts[:3] == [
        ("labels shown", "60", "of 10,000 training images"),
        ("images seen", "204,800", "every view counted"),
        ("training took", "41 s", "2 x Intel Xeon"),
    ]


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        ({"value": -0.1, "low": -0.12, "high": -0.08}, "Training made it worse"),
        ({"value": 0.01, "low": -0.01, "high": 0.03}, "cannot tell the two apart"),
    ],
)
def test_the_verdict_follows_the_interval_of_the_gain(make_run, gain, said):
    run = make_run()
    scores = read_json(run.scores)
    scores["gains"][0] |= gain
    write_json(run.scores, scores)
    assert said in words(run)


def test_without_a_paired_gain_overlapping_intervals_decide_nothing(make_run):
    run = make_run()
    scores = read_json(run.scores)
    del scores["gains"]
    scores["untrained"][1] |= {"value": 0.77, "low": 0.75, "high": 0.79}
    write_json(run.scores, scores)
    assert "cannot tell the two apart" in words(run)


def test_what_is_absent_is_named(make_run):
    run = make_run()
    for path in (run.environment, run.data, run.scores, run.gallery, run.metrics, run.weights):
        path.unlink()
    page = write_report(run, QUICK).read_text()
    for name in ("environment.json", "data.json", "scores.json", "gallery.npz", "metrics.jsonl"):
        assert f"{name} is absent" in page
    assert "how good the encoder is for a task is not known yet" in page
    assert "--resume" in page  # no weights: the run has not ended
    assert "data-chart" not in page and len(page) < 50_000  # no chart, so no plotly


def test_damaged_files_are_named_and_cost_nothing_else(make_run):
    run = make_run()
    run.scores.write_text("{")
    run.gallery.write_bytes(run.gallery.read_bytes()[:1000])
    page = write_report(run, QUICK).read_text()
    assert "scores.json cannot be read" in page and "gallery.npz cannot be read" in page
    assert 'id="loss"' in page


def test_a_run_without_labels(make_run):
    run = make_run(labels="none")
    write_json(
        run.scores,
        {"trained": [], "untrained": [], "label_free": {"trained": {"effective_rank": 60.25, "uniformity": None}}},
    )
    write_json(run.data, {**read_json(run.data), "classes": [], "labelled": 0})
    with np.load(run.gallery) as arrays:
        gallery = dict(arrays)
    nothing = np.full_like(gallery["labels"], -1)
    answers = dict.fromkeys(("labels", "predictions", "all_labels", "all_predictions"), nothing)
    np.savez(run.gallery, **gallery | answers | {"class_names": np.array([], dtype=str)})
    page = write_report(run, QUICK).read_text()
    assert "with no labels" in page
    assert "effective rank" in page and "60.2" in page
    assert "frame same" not in page and "frame other" not in page
    assert "no confusion to show" in page


def test_numbers_that_are_none_do_not_reach_the_charts(make_run):
    run = make_run()
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    lines[3]["loss"] = float("nan")
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 12, "lo')
    page = write_report(run, QUICK).read_text()
    content = json.loads(page.split('data-chart="loss">')[1].split("</script>")[0])
    assert content["figure"]["data"][0]["y"][3] is None
    assert "1 step had a loss that is not a number" in page


def test_recall_has_a_chart_of_its_own(make_run):
    run = make_run()
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    scored = [line for line in lines if "knn20_top1" in line]
    for place, line in enumerate(scored, start=1):
        line |= {"text_to_image_r5": 0.02 * place, "image_to_text_r5": 0.03 * place}
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = write_report(run, QUICK).read_text()
    assert "Text to image, recall at 5 ended at 20.0% after" in page
    assert "image to text, recall at 5 ended at 30.0% after" in page.lower()
    assert page.count('id="recall"') == page.count('id="accuracy"') == 1


def test_not_a_run_and_a_folder_that_cannot_be_written(make_run, tmp_path):
    with pytest.raises(LikewiseError, match="is not a run"):
        write_report(RunFolder(tmp_path))
    run = make_run()
    (run.path / "report.html.partial").mkdir()
    with pytest.raises(EnvironmentIOError, match="Cannot write the page"):
        write_report(run, QUICK)
