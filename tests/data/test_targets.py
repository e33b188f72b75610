"""Labels that are not one class an image: several classes, or numbers."""

import numpy as np
import pytest
import torch

import likewise
from likewise.data.columns.column_names import ColumnNames
from likewise.data.columns.targets import TARGETS, TargetTransform, targets_in
from likewise.data.sources.concat import concat
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError
from likewise.json_files import read_json

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
MULTILABEL, REGRESSION = ColumnNames(task="multilabel"), ColumnNames(task="regression")


def table_of(manifest):
    column = targets_in(manifest.columns)
    return column.names, column.values.tolist()


def test_an_array_of_indicators_is_several_classes():
    indicators = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0], [-1, -1, -1], [0, 0, 1], [1, 1, 1]])
    manifest = open_manifest((IMAGES, indicators))
    names, values = table_of(manifest)
    assert names == ("0", "1", "2")
    assert values[:3] == indicators[:3].tolist()
    assert manifest.columns[TARGETS].present().tolist() == [True, True, True, False, True, True]
    assert manifest.labels.tolist() == [-1] * 6


def test_numbers_that_are_taken_as_classes_are_told_with_the_task_that_predicts_them():
    classes = open_manifest((IMAGES, ["0.5", "1", "-2.25", "3.0", "4", "cat"]))
    (told,) = [warning for warning in classes.warnings() if "--task regression" in warning]
    assert "0.5" in told and "-2.25" in told and "3.0" not in told
    whole = open_manifest((IMAGES, ["1", "2", "3", "1", "2", "v1.5"]))
    assert not any("--task regression" in warning for warning in whole.warnings())


def test_classes_that_are_joined_otherwise_than_by_a_bar_are_told():
    manifest = open_manifest((IMAGES, ["a;b", "a", "b", "a;b", "a", "b"]), columns=MULTILABEL)
    assert any("a;b" in warning and "|" in warning for warning in manifest.warnings())
    separate = open_manifest((IMAGES, ["a|b", "a", "b", "a|b", "a", "b"]), columns=MULTILABEL)
    assert not any("|" in warning for warning in separate.warnings())


def test_lists_of_names_are_several_classes():
    manifest = open_manifest((IMAGES, [["cat", "dog"], [], ["dog"], None, ["ant"], ["cat"]]))
    names, values = table_of(manifest)
    assert names == ("ant", "cat", "dog")
    assert values[0] == [0, 1, 1]
    assert values[1] == [0, 0, 0]
    assert np.isnan(values[3]).all()


def test_cells_of_a_csv_have_a_bar_between_classes(tmp_path):
    from PIL import Image

    for row in range(3):
        Image.fromarray(IMAGES[row]).save(tmp_path / f"{row}.png")
    (tmp_path / "labels.csv").write_text("image_path,label\n0.png,cat|dog\n1.png,\n2.png,dog\n")
    manifest = open_manifest(tmp_path, tmp_path / "labels.csv", columns=MULTILABEL)
    names, values = table_of(manifest)
    assert (names, values[0], values[2]) == (("cat", "dog"), [1, 1], [0, 1])
    assert np.isnan(values[1]).all()
    (tmp_path / "labels.csv").write_text("image_path,label\n0.png,-1\n1.png,\n2.png,2.5\n")
    names, values = table_of(open_manifest(tmp_path / "labels.csv", columns=REGRESSION))
    assert (names, values[0], values[2]) == (("target",), [-1], [2.5])
    assert np.isnan(values[1]).all()


def test_a_table_may_hold_lists_and_numbers():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"image": list(IMAGES), "label": [["a"], ["b"], ["a", "b"], [], ["a"], ["b"]]}
    )
    assert table_of(open_manifest(frame))[1] == [[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 1]]
    frame["label"] = [0.5, 1, -1, None, 2, 3]
    values = table_of(open_manifest(frame, columns=REGRESSION))[1]
    assert values[:3] == [[0.5], [1], [-1]]
    assert np.isnan(values[3]).all()


@pytest.mark.parametrize(
    ("labels", "columns", "named"),
    [
        ([[0, 1], [1, 1], [0, 0], [1, 0], [1, 1], [0, 1]], MULTILABEL, "indicators"),
        (np.full((6, 3), 2), MULTILABEL, "2"),
        (["1", "two", "3", "4", "5", "6"], REGRESSION, "'two'"),
        ([1, 2, 3, 4, 5, float("inf")], REGRESSION, "inf"),
        ([[1, 2], [1], [1, 2], [1, 2], [1, 2], [1, 2]], REGRESSION, "1, 2"),
        ([None] * 6, MULTILABEL, "class"),
    ],
)
def test_what_is_no_target_is_named(labels, columns, named):
    with pytest.raises(LikewiseError, match=named):
        open_manifest((IMAGES, labels), columns=columns)


def test_sources_with_other_classes_are_joined_by_name():
    first = open_manifest((IMAGES[:2], ["cat", "dog"]), columns=MULTILABEL)
    second = open_manifest((IMAGES[2:4], [["dog", "emu"], None]), columns=MULTILABEL)
    names, values = table_of(concat([first, second], "both"))
    assert names == ("cat", "dog", "emu")
    assert values[:3] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert np.isnan(values[3]).all()
    with pytest.raises(LikewiseError, match="regression"):
        concat([first, open_manifest((IMAGES[:2], [1.0, 2.0]), columns=REGRESSION)], "both")


def test_numbers_are_standardised_on_the_training_set():
    column = targets_in(open_manifest((IMAGES, [1, 2, 3, 4, 5, None]), columns=REGRESSION).columns)
    rows = TargetTransform.fitted(column).of(column).read(torch.arange(5))
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows.mean(0), torch.zeros(1))
    torch.testing.assert_close(rows.std(0, correction=0), torch.ones(1))


def brightness_and_sides(count=160, seed=0):
    """Images whose left and right halves are bright or dark; how bright the brighter is, is a number."""
    rng = np.random.default_rng(seed)
    indicators = rng.integers(0, 2, (count, 2))
    level = rng.uniform(0.3, 1, count)
    halves = indicators.repeat(8, axis=1)[:, None, :] * level[:, None, None]  # [N, 1, 16]
    images = 200 * halves.repeat(16, axis=1) + rng.integers(0, 40, (count, 16, 16))
    return images.astype(np.uint8), indicators, level


@pytest.fixture(scope="module")
def several_classes(tmp_path_factory):
    images, indicators, _ = brightness_and_sides()
    folder = tmp_path_factory.mktemp("run") / "multilabel"
    return likewise.train((images, indicators), out=folder, steps=3, batch_size=32, num_evals=0)


def test_several_classes_are_learned_from_and_scored(several_classes):
    scores = several_classes.scores
    assert scores["multilabel_map"] > 0.9
    assert read_json(several_classes.folder.config)["method"]["name"] == "y-aware"
    written = read_json(several_classes.folder.scores)
    assert [score["name"] for score in written["untrained"]] == ["multilabel_map"]
    assert "several classes" in several_classes.folder.report.read_text()


def test_the_first_screen_counts_targets_and_predict_gives_each_class_a_probability(
    several_classes,
):
    assert read_json(several_classes.folder.data)["targets"] == {
        "task": "multilabel",
        "names": ["0", "1"],
        "known": 160,
    }
    assert "no labels" not in several_classes.folder.log.read_text()
    assert len(several_classes.predict(IMAGES).table) == len(IMAGES)


def test_a_run_scores_itself_again_the_same(several_classes):
    images, indicators, _ = brightness_and_sides(80, seed=1)
    found = several_classes.evaluate((images, indicators))
    assert found["multilabel_map"] > 0.8


def test_numbers_are_learned_from_and_scored(tmp_path):
    images, indicators, level = brightness_and_sides()
    level = np.where(indicators.any(axis=1), level, 0)
    run = likewise.train(
        (images, level),
        task="regression",
        out=tmp_path / "run",
        steps=3,
        batch_size=32,
        num_evals=0,
    )
    assert 0.5 < run.scores["regression_r2"] <= 1
    written = read_json(run.folder.scores)["trained"]
    protocol = next(score["protocol"] for score in written if score["name"] == "regression_r2")
    low, high = protocol["mean_absolute_error_interval"]
    assert 0 < low < protocol["mean_absolute_error"] < high < 0.3


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_images_without_targets_are_left_out_whoever_chose_the_method(tmp_path, task):
    images, indicators, level = brightness_and_sides(60)
    labels = (
        level
        if task == "regression"
        else [["left"] * row[0] + ["right"] * row[1] for row in indicators]
    )
    labels = [None if number % 5 == 0 else label for number, label in enumerate(labels)]
    run = likewise.train(
        (images, labels), task=task, out=tmp_path / "run", steps=2, batch_size=16, num_evals=0
    )
    assert read_json(run.folder.config)["method"]["name"] == "y-aware"
    assert "have no targets and were left out" in " ".join(run.folder.log.read_text().split())


def test_a_class_of_all_images_is_not_scored_and_the_others_are(tmp_path):
    images, indicators, _ = brightness_and_sides(60)
    indicators[:, 1] = 1
    run = likewise.train(
        (images, indicators), out=tmp_path / "run", steps=2, batch_size=16, num_evals=0
    )
    written = read_json(run.folder.scores)["trained"]
    protocol = next(score["protocol"] for score in written if score["name"] == "multilabel_map")
    assert protocol["classes"] == 1


def test_numbers_that_never_differ_have_no_score(tmp_path):
    images, _, level = brightness_and_sides(60)
    run = likewise.train(
        (images, np.stack([level, np.full(60, 3.5)], axis=1)),
        task="regression", out=tmp_path / "run", steps=2, batch_size=16, num_evals=0,
    )  # fmt: skip
    assert np.isfinite(run.scores["regression_r2"])


@pytest.mark.parametrize(
    ("labels", "method", "named"), [("10", "auto", "--labels 10"), ("all", "supcon", "SupCon")]
)
def test_what_targets_cannot_serve_is_refused(labels, method, named, tmp_path):
    images, indicators, _ = brightness_and_sides(40)
    with pytest.raises(LikewiseError, match=named):
        likewise.train((images, indicators), labels=labels, method=method, out=tmp_path / "run")


def test_y_aware_needs_targets(tmp_path):
    with pytest.raises(LikewiseError, match="targets"):
        likewise.train((IMAGES, [0, 1, 0, 1, 0, 1]), method="y-aware", out=tmp_path / "run")
