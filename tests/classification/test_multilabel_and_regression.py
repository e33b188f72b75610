"""Several classes an image, or numbers: heads, their calibration, their files and their predictions."""

import csv
import math

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import likewise
from likewise.classification import load_classifier, load_predictor, predict
from likewise.classification.target_head import (
    fit_targets,
    interval_half_width,
    sigmoid_temperature,
)
from likewise.classification.target_predictor import LabelledTargets, fit_predictor, save_predictor
from likewise.data.batch import Pixels
from likewise.data.columns.targets import TargetColumn
from likewise.data.images import InMemoryImages
from likewise.encoders import build_encoder, choose_encoder
from likewise.errors import LikewiseError
from likewise.views.centre_view import CentreView

RANDOM = np.random.default_rng(0)


def column(task, values, names=("red", "blue")):
    return TargetColumn(task, names, np.asarray(values, np.float32))


def test_logistic_heads_are_those_of_scikit_learn_with_standardisation_folded_in():
    features = RANDOM.normal(3, [1, 5, 2], (60, 3))
    targets = (features[:, :2] > [3, 4]).astype(float)
    fitted = fit_targets(torch.from_numpy(features), column("multilabel", targets))
    scaler = StandardScaler().fit(features)
    for number in range(2):
        own = LogisticRegression(C=fitted.protocol["C"]).fit(
            scaler.transform(features), targets[:, number]
        )
        expected = own.decision_function(scaler.transform(features))
        found = fitted.head(torch.from_numpy(features).float())[:, number]
        np.testing.assert_allclose(found, expected, atol=1e-2)


def test_a_class_that_no_image_has_is_unlikely_and_nothing_fails():
    targets = np.stack([np.arange(40) % 2, np.zeros(40)], axis=1)
    fitted = fit_targets(
        torch.from_numpy(targets + RANDOM.normal(0, 0.1, (40, 2))), column("multilabel", targets)
    )
    assert float(fitted.head(torch.zeros(1, 2)).sigmoid()[0, 1]) < 0.05
    assert bool(fitted.out_of_fold.isfinite().all())


def test_images_of_one_group_are_never_learned_from_and_predicted_at_once():
    groups = torch.arange(20).repeat_interleave(3)
    # A group can be known by heart, and says nothing else.
    features = torch.nn.functional.one_hot(groups, 20).double()
    numbers = torch.randn(20, 1, generator=torch.Generator().manual_seed(0))[groups].numpy()
    apart = fit_targets(features, column("regression", numbers, ("size",)), groups=groups)
    mixed = fit_targets(features, column("regression", numbers, ("size",)))
    errors = [
        float((each.out_of_fold - torch.from_numpy(numbers)).abs().mean())
        for each in (apart, mixed)
    ]
    assert errors[0] > 2 * errors[1]


def test_the_interval_of_a_number_covers_nine_of_ten():
    inside = []
    for _ in range(200):
        errors = torch.from_numpy(RANDOM.normal(0, 1, (60, 1)))
        width = interval_half_width(errors, torch.zeros_like(errors))
        inside.append(math.erf(float(width) / math.sqrt(2)))
    assert 0.88 < np.mean(inside) < 0.93
    assert bool(interval_half_width(torch.zeros(5, 1), torch.zeros(5, 1)).isinf().all())


def test_probabilities_that_are_too_sure_are_cooled():
    logits = torch.from_numpy(RANDOM.normal(0, 2, (4000, 2)))
    targets = (
        torch.rand(4000, 2, generator=torch.Generator().manual_seed(0)) < logits.sigmoid()
    ).float()
    assert sigmoid_temperature(3 * logits, targets) == pytest.approx(3, rel=0.1)
    assert sigmoid_temperature(logits[:0], targets[:0]) == 1


@pytest.fixture(scope="module")
def pictures():
    """Uint8 [120, 16, 16, 3] whose red and blue are on or off, and which of them are."""
    on = RANDOM.integers(0, 2, (120, 2))
    pixels = RANDOM.integers(0, 60, (120, 16, 16, 3))
    pixels[..., [0, 2]] += 150 * on[:, None, None]
    return pixels.astype(np.uint8), on


def saved(pictures, task, values, folder, saw=False, names=("red", "blue")):
    pixels, _ = pictures
    torch.manual_seed(0)
    settings = choose_encoder("conv4", 16, (0.5,) * 3, (0.25,) * 3)
    stored = InMemoryImages(
        Pixels(torch.from_numpy(pixels[:80]).permute(0, 3, 1, 2), torch.ones(80))
    )
    known = LabelledTargets(stored, column(task, values[:80], names))
    encoder = build_encoder(settings).eval()
    fitted = fit_predictor(encoder, known, None, CentreView(16), 0, torch.device("cpu"), saw)
    save_predictor(fitted, settings, folder)
    return folder


def test_predict_gives_classes_and_the_probability_of_each(pictures, tmp_path):
    pixels, on = pictures
    folder = saved(pictures, "multilabel", on, tmp_path / "run")
    predict(folder, pixels[80:], tmp_path / "p.csv", batch_size=16)
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "path",
        "classes",
        "probability of red",
        "probability of blue",
        "unlike",
        "error",
    ]
    expected = ["|".join(np.array(["red", "blue"])[row == 1]) for row in on[80:]]
    assert (
        np.mean([row["classes"] == wanted for row, wanted in zip(rows, expected, strict=True)])
        > 0.9
    )
    assert load_predictor(folder)(torch.zeros(1, 3, 16, 16)).shape == (1, 2)
    with pytest.raises(LikewiseError, match="load_predictor"):
        load_classifier(folder)


def test_predict_gives_numbers_and_an_interval_that_holds(pictures, tmp_path):
    pixels, on = pictures
    numbers = on.sum(axis=1, keepdims=True) + RANDOM.normal(0, 0.2, (120, 1))
    folder = saved(pictures, "regression", numbers, tmp_path / "run", names=("light",))
    table = predict(folder, pixels[80:], tmp_path / "p.parquet").table
    assert table.column_names == ["path", "light", "light low", "light high", "unlike", "error"]
    value, low, high = (np.array(table[name]) for name in ("light", "light low", "light high"))
    assert np.abs(value - numbers[80:, 0]).mean() < 0.35
    assert np.mean((low <= numbers[80:, 0]) & (numbers[80:, 0] <= high)) > 0.75


def test_an_interval_is_empty_where_nothing_was_held_out(pictures, tmp_path):
    pixels, on = pictures
    folder = saved(pictures, "regression", on.astype(float), tmp_path / "run", saw=True)
    table = predict(folder, pixels[80:84]).table
    assert table["red"].null_count == 0 and table["red low"].null_count == 4


def test_a_file_that_cannot_be_read_has_the_reason_alone(pictures, tmp_path):
    folder = saved(pictures, "multilabel", pictures[1], tmp_path / "run")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "bad.png").write_text("no picture")
    Image.fromarray(pictures[0][0]).save(tmp_path / "new" / "good.png")
    found = predict(folder, tmp_path / "new").table.to_pylist()
    bad = next(row for row in found if row["path"].endswith("bad.png"))
    assert bad["error"] and bad["probability of red"] is None and bad["unlike"] is None


def test_a_run_that_saw_several_classes_leaves_what_predict_takes(pictures, tmp_path):
    pixels, on = pictures
    data = pixels, on.astype(np.int64)
    run = likewise.train(data, method="simclr", encoder="conv4", steps=2, out=tmp_path / "run")
    found = run.predict(pixels[:4]).table
    assert found.num_rows == 4 and "classes" in found.column_names
