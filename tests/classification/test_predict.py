"""Predictions of new images: what stands in the table, what was not read, and a command that was killed."""

import csv
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image

from likewise.classification import (
    Classifier,
    Reference,
    fit_head,
    fit_temperature,
    judging,
    predict,
    save_classifier,
)
from likewise.classification.predict import Predictions
from likewise.encoders import build_encoder, choose_encoder
from likewise.errors import LikewiseError

HEADER = ["path", "class", "probability", "runner_up", "unsure", "unlike", "error"]
NAMES = ("dark", "grey", "light")


def squares(labels, seed=0):
    """Uint8 [N, 16, 16, 3]: squares of one grey a class, with noise."""
    noise = np.random.default_rng(seed).integers(0, 30, (len(labels), 16, 16, 3))
    return (np.asarray(labels)[:, None, None, None] * 100 + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A classifier of three greys that has learned them well, from 180 labels."""
    torch.manual_seed(0)
    settings = choose_encoder("conv4", 16, (0.5,) * 3, (0.25,) * 3)
    encoder = build_encoder(settings).eval()
    labels = torch.arange(180) % 3
    pixels = torch.from_numpy(squares(labels)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        features = encoder(pixels)
    head = fit_head(features, labels, 3)
    temperature = fit_temperature(head.out_of_fold_logits, labels)
    reference = Reference.of(features, head.out_of_fold_logits, labels, temperature, head.protocol)
    path = tmp_path_factory.mktemp("classifier")
    save_classifier(Classifier(encoder, head.head, temperature, NAMES), settings, reference, path)
    return path


@pytest.fixture
def photos(tmp_path):
    """Fifty files, of which 7 breaks off in its pixels, 8 is text, and 9 is a checkerboard."""
    where = tmp_path / "new"
    where.mkdir()
    for number, square in enumerate(squares(np.arange(50) % 3, seed=1)):
        Image.fromarray(square).save(where / f"{number:02}.png")
    whole = (where / "07.png").read_bytes()
    (where / "07.png").write_bytes(whole[:100] + whole[-12:])
    (where / "08.png").write_text("no picture")
    checks = np.kron([[0, 255] * 2, [255, 0] * 2] * 2, np.ones((4, 4)))[..., None] * [1, 0, 1]
    Image.fromarray(checks.astype(np.uint8)).save(where / "09.png")
    return where


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_an_image_in_the_columns_that_are_promised(folder, photos, tmp_path):
    out = tmp_path / "p.csv"
    made = predict(folder, photos, out, batch_size=8)
    assert out.read_text().splitlines()[0].split(",") == HEADER
    rows = {row["path"].rsplit("/")[-1]: row for row in rows_of(out)}
    assert sorted(rows) == [f"{number:02}.png" for number in range(50)] and len(made) == 50
    for number in set(range(50)) - {7, 8, 9}:
        row = rows[f"{number:02}.png"]
        assert row["class"] == NAMES[number % 3] and row["runner_up"] in NAMES
        assert row["class"] != row["runner_up"] and row["error"] == ""
        assert 1 / 3 <= float(row["probability"]) <= 1
    assert rows["09.png"]["unlike"] == rows["09.png"]["unsure"] == "True"
    assert sorted(os.listdir(tmp_path)) == ["new", "p.csv"]


def test_nothing_stands_under_the_name_of_a_file_that_was_not_read(folder, photos, tmp_path):
    made = predict(folder, photos, tmp_path / "p.csv", batch_size=8)
    unread = {
        row["path"].rsplit("/")[-1]: row for row in rows_of(tmp_path / "p.csv") if row["error"]
    }
    assert (
        sorted(unread)
        == ["07.png", "08.png"]
        == sorted(name.rsplit("/")[-1] for name in made.unread)
    )
    for row in unread.values():
        assert row["class"] == row["probability"] == row["runner_up"] == row["unlike"] == ""
        assert row["unsure"] == "True"


def test_csv_parquet_and_memory_say_the_same(folder, photos, tmp_path):
    in_memory = predict(folder, photos)
    assert in_memory.table.column_names == HEADER and in_memory.path is None
    for name in ("p.csv", "p.parquet"):
        assert predict(folder, photos, tmp_path / name).table.equals(in_memory.table)
    assert parquet.read_table(tmp_path / "p.parquet").equals(in_memory.table)
    frame = in_memory.to_pandas()
    assert frame["unsure"].dtype == bool and list(frame) == HEADER
    in_memory.to_csv(tmp_path / "again.csv")
    assert len(rows_of(tmp_path / "again.csv")) == 50


def test_arrays_are_read_too(folder):
    made = predict(folder, squares([0, 1, 2, 2]))
    assert made.table["class"].to_pylist() == ["dark", "grey", "light", "light"]


@pytest.mark.parametrize("out", [None, "p.csv", "p.parquet"])
def test_images_that_have_a_label_say_how_often_predictions_are_right(folder, tmp_path, out):
    names = np.array([*NAMES, "blue", ""])
    labels = names[
        [0, 1, 2, 1, 3, 4, 4]
    ]  # the fourth is wrong, "blue" was not learned, two have no label
    data = (squares([0, 1, 2, 2, 2, 1, 0]), labels)
    known = predict(folder, data, out and tmp_path / out).accuracy
    assert known is not None and known.share.value == 0.75 and known.share.low < 0.75
    assert (known.images, known.others) == (4, 1)
    assert "75.0%" in str(known) and "1 image of classes" in str(known)


def test_labels_that_name_nothing_learned_say_nothing(folder):
    assert predict(folder, squares([0, 1])).accuracy is None
    assert predict(folder, (squares([0, 1]), np.array(["2019", "2020"]))).accuracy is None


def test_what_was_not_read_counts_neither_as_right_nor_as_wrong(folder, photos, tmp_path):
    for number, name in ((0, "dark"), (7, "grey")):
        (tmp_path / "labelled" / name).mkdir(parents=True)
        (photos / f"{number:02}.png").rename(tmp_path / "labelled" / name / "x.png")
    known = predict(folder, tmp_path / "labelled").accuracy
    assert known is not None and known.images == 1


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
@pytest.mark.parametrize("calls", [1, 3])
def test_an_interrupted_call_goes_on_without_a_double_or_missing_row(
    folder, photos, tmp_path, monkeypatch, calls, name
):
    expected = predict(folder, photos, tmp_path / f"whole-{name}", batch_size=8)
    judge, seen = judging.ClassJudge, []

    def dying(self, pixels, ids):
        if len(seen) == calls:
            raise Killed
        seen.append(ids)
        return judge.__call__(self, pixels, ids)

    dies = type("Dies", (judge,), {"__call__": dying})
    out = tmp_path / name
    with monkeypatch.context() as patched:
        patched.setattr(judging, "ClassJudge", dies)
        with pytest.raises(Killed):
            predict(folder, photos, out, batch_size=8)
    assert not out.exists()
    with (tmp_path / f"{name}.partial").open("a") as partial:
        partial.write("half a row, of a write that was cut")
    again = predict(folder, photos, out, batch_size=8)
    assert again.continued_from == 8 * calls
    assert again.table.equals(expected.table)


def test_rows_of_another_precision_or_other_images_are_not_continued(folder, photos, tmp_path):
    from likewise.classification.prediction_file import Prediction, PredictionFile

    key = {"precise": 0.5}
    file = PredictionFile(tmp_path / "p.csv", key)
    file.append([Prediction("a", "dark", 0.5, "grey", False, False, "")])
    with pytest.raises(LikewiseError, match="Another process"):
        PredictionFile(tmp_path / "p.csv", key)
    file.close()
    again = PredictionFile(tmp_path / "p.csv", key)
    assert again.written == 1
    again.close()
    made = predict(folder, photos, tmp_path / "p.csv")
    assert made.started_again and made.continued_from == 0 and len(made) == 50


def test_names_with_commas_quotes_and_line_ends(tmp_path):
    from likewise.classification.prediction_file import Prediction, PredictionFile, read_predictions

    names = ["a,b.png", 'say "x".png', "two\nlines.png", "gr\u00fc\u00df.png"]
    for out in (tmp_path / "p.csv", tmp_path / "p.parquet"):
        file = PredictionFile(out, {})
        file.append([Prediction(name, "dark", 0.5, "grey", False, False, "") for name in names])
        file.finish()
        assert read_predictions(out)["path"].to_pylist() == names


def test_files_that_are_there_and_other_endings_are_refused(folder, photos, tmp_path):
    (tmp_path / "p.csv").write_text("mine")
    for out, word in (
        ("p.csv", "--overwrite"),
        ("p.txt", ".parquet"),
        ("missing/p.csv", "missing"),
    ):
        with pytest.raises(LikewiseError, match=word):
            predict(folder, photos, tmp_path / out)
    assert (tmp_path / "p.csv").read_text() == "mine"
    assert len(predict(folder, photos, tmp_path / "p.csv", overwrite=True)) == 50


def test_a_lower_precision_leaves_fewer_unsure(folder, photos):
    unsure = [
        sum(predict(folder, photos, precise=precise).table["unsure"].to_pylist())
        for precise in (0.8, 0.999)
    ]
    assert unsure[0] < unsure[1] == 50
    assert isinstance(predict(folder, photos, precise=0.999), Predictions)


@pytest.mark.slow
def test_a_killed_command_goes_on(folder, photos, tmp_path, likewise):
    words = [
        sys.executable,
        "-m",
        "likewise.cli",
        "predict",
        str(folder),
        str(photos),
        "--batch-size",
        "1",
    ]
    with subprocess.Popen(words, cwd=tmp_path) as process:
        while (
            not (state := tmp_path / "predictions.csv.partial.json").exists()
            or '"rows": 0' in state.read_text()
        ):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    done = likewise("predict", folder, photos, "--batch-size", "1", "--strict")
    assert done.returncode == 1 and len(rows_of(tmp_path / "predictions.csv")) == 50
