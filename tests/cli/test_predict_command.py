"""`likewise predict` and `export --with-head` as they are typed."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

import likewise as lw
from likewise.classification import load_reference
from likewise.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory, photographs):
    return lw.train(
        str(photographs), labels="4", method="simclr", encoder="conv4", image_size=16, steps=4, batch_size=16,
        num_evals=0, out=tmp_path_factory.mktemp("run") / "photos",
    )  # fmt: skip


def test_counts_are_on_the_screen_and_strict_ends_with_an_error(
    run, photographs, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new").mkdir()
    for number, path in enumerate(sorted((photographs / "cat").iterdir())[:3]):
        (tmp_path / "new" / f"{number}.png").write_bytes(path.read_bytes())
    (tmp_path / "new" / "3.png").write_bytes(b"no picture")
    main(["predict", str(run.folder.path), "new"])
    output = capsys.readouterr().out
    assert "1 not read" in output and "3.png" in output and "everything is unsure" in output
    with open("predictions.csv", newline="") as file:
        rows = {row["path"].rsplit("/")[-1]: row for row in csv.DictReader(file)}
    assert len(rows) == 4 and all(row["unsure"] == "True" for row in rows.values())
    with pytest.raises(SystemExit) as stopped:
        main(["predict", str(run.folder.path), "new", "--out", "again.csv", "--strict"])
    assert stopped.value.code == 1 and (tmp_path / "again.csv").exists()


@pytest.mark.parametrize("words", [["embed"], ["embed", "--part-size", "2"], ["predict"]])
def test_pixels_that_are_no_number_are_told(run, tmp_path, capsys, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new").mkdir()
    pixels = np.random.default_rng(0).random((3, 16, 16)).astype(np.float32)
    pixels[1, :2] = np.nan
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(tmp_path / "new" / f"{number}.tif")
    command, *more = words
    main([command, str(run.folder.path), "new", *more])
    assert "NaN in 1 image" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "named"), [(["--precise", "95"], "--precise"), (["--out", "p.xls"], ".parquet")]
)
def test_what_cannot_be_used_is_named(
    run, photographs, tmp_path, capsys, monkeypatch, words, named
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["predict", str(run.folder.path), str(photographs), *words])
    assert stopped.value.code == 2 and named in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_of_a_classifier_alone_is_enough(run, photographs, tmp_path):
    for name in (
        "encoder.safetensors",
        "encoder.json",
        "classifier.safetensors",
        "classifier.json",
    ):
        (tmp_path / name).write_bytes((run.folder.path / name).read_bytes())
    alone = lw.load(tmp_path)
    assert alone.predict(str(photographs)).table.equals(run.predict(str(photographs)).table)
    assert torch.equal(alone.classifier.head.weight, run.classifier.head.weight)
    assert load_reference(tmp_path).protocol["labels"] == 12


def test_the_head_leaves_with_the_encoder(run, tmp_path, capsys):
    main(
        [
            "export",
            str(run.folder.path),
            "--to",
            "torchscript",
            "--with-head",
            "--out",
            str(tmp_path / "c.pt"),
        ]
    )
    graph, pixels = torch.jit.load(str(tmp_path / "c.pt")), torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(graph(pixels), run.classifier(pixels))
