"""No vector and no score stands under the name of a file that was not read."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import likewise as lw
from data.pictures import cut_short, picture
from likewise.cli import main
from likewise.errors import FilesLeftOut, LikewiseError
from likewise.vectors import read_vectors

SETTINGS = {
    "encoder": "conv4",
    "batch_size": 8,
    "steps": 3,
    "loggers": (),
    "num_evals": 1,
    "max_bad": 0.5,
}
BROKEN = ("a/03.png", "b/01.png", "b/07.png")


def hurt_folder(root, broken=BROKEN, count=12):
    """Two classes of noisy images, some of which have lost their pixels but not their headers."""
    for name, shade in (("a", 40), ("b", 200)):
        (root / name).mkdir(parents=True)
        for number in range(count):
            image = picture(number, 20, 20).point(
                lambda value, shade=shade: (value + 3 * shade) // 4
            )
            image.save(root / name / f"{number:02}.png")
    for name in broken:
        _break_pixels(root / name)
    return root


def _break_pixels(path):
    """Zeros in the middle of the compressed pixels; header and ending stay whole."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)


def exit_code(*words) -> int:
    try:
        main(words)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return lw.train(
        str(hurt_folder(folder / "data", broken=())), out=str(folder / "run"), **SETTINGS
    )


@pytest.fixture(params=["memory", "files"])
def decoding(request, monkeypatch):
    """Whether a set is decoded before its first step or on demand."""
    if request.param == "files":
        monkeypatch.setattr("likewise.data.open_images.MEMORY_LIMIT", 0)


def test_embed_gives_no_vector_to_what_it_cannot_read(run, tmp_path, decoding):
    vectors = run.embed(str(hurt_folder(tmp_path)))
    assert set(vectors.skipped) == set(BROKEN)
    assert len(vectors.ids) == 24 - len(BROKEN) and not set(BROKEN) & set(vectors.ids)
    whole = run.embed(str(hurt_folder(tmp_path / "again", broken=())))
    of_whole = {name: vector for name, vector in zip(whole.ids, whole.vectors, strict=True)}
    for name, label, vector in zip(*vectors[:3], strict=True):
        assert label == name[0]
        torch.testing.assert_close(vector, of_whole[name])


def test_the_command_names_every_file_also_in_its_output_and_strict_ends_with_1(
    run, tmp_path, capsys
):
    data, out = str(hurt_folder(tmp_path / "data")), str(tmp_path / "vectors.parquet")
    (tmp_path / "data" / "b" / "10.png").write_bytes(b"")
    words = ["embed", str(run.folder.path), data, "--out", out]
    assert exit_code(*words) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*BROKEN, "b/10.png"))
    assert set(read_vectors(tmp_path / "vectors.parquet").skipped) == {*BROKEN, "b/10.png"}
    assert exit_code(*words, "--overwrite", "--strict") == 1
    query = str(tmp_path / "data" / "a" / "00.png")
    search = ["search", str(run.folder.path), query, "--in", out]
    assert exit_code(*search) == 0
    assert BROKEN[0] in capsys.readouterr().out
    assert exit_code(*search, "--strict") == 1


def test_vectors_of_another_encoder_are_refused(run, tmp_path):
    data = str(hurt_folder(tmp_path / "data", broken=()))
    other = lw.train(data, out=str(tmp_path / "other"), seed=1, **SETTINGS)
    other.embed(data).save(tmp_path / "other.parquet")
    query = str(tmp_path / "data" / "a" / "00.png")
    with pytest.raises(LikewiseError, match="another encoder"):
        run.search(query, tmp_path / "other.parquet")
    with pytest.raises(LikewiseError, match="another encoder"):
        run.search(query, other.embed(data))
    assert other.search(query, tmp_path / "other.parquet", count=1)[0].id == "a/00.png"


def test_training_counts_lists_and_replaces_and_scores_nothing_of_it(tmp_path, decoding):
    run = lw.train(
        str(hurt_folder(tmp_path / "data")), out=str(tmp_path / "run"), **{**SETTINGS, "steps": 12}
    )
    scores = json.loads(run.folder.scores.read_text())
    listed = json.loads(run.folder.unread.read_text())["unread"]
    assert listed and set(listed) | set(scores["unread"]) == set(BROKEN)
    assert "unreadable" in run.folder.log.read_text()
    with np.load(run.folder.gallery) as gallery:
        assert not set(gallery["ids"].tolist()) & set(BROKEN)
        assert len(gallery["all_labels"]) == len(gallery["all_predictions"]) == len(gallery["ids"])


def test_above_max_bad_training_stops_with_the_list(tmp_path, decoding):
    data = str(hurt_folder(tmp_path / "data"))
    with pytest.raises(LikewiseError, match=r"max-bad[\s\S]*\.png"):
        lw.train(data, out=str(tmp_path / "run"), **{**SETTINGS, "max_bad": 0.01, "steps": 12})


def test_evaluation_leaves_unread_images_out_of_every_encoder(run, tmp_path, decoding):
    data = hurt_folder(tmp_path / "data", broken=("a/02.png", "b/05.png"))
    test = np.array([number % 3 == 2 for _ in range(2) for number in range(12)])
    found = lw.evaluate(
        run,
        str(data),
        test=test,
        baseline=run.encoder,
        measures=["knn", "label_free"],
        image_size=20,
    )
    assert set(found.unread) == {"a/02.png", "b/05.png"}
    assert len(found.vectors) == 6
    assert [score.count for score in found.by_encoder["baseline"]] == [6]
    scores = run.evaluate(str(data))
    assert (
        scores and exit_code("evaluate", str(run.folder.path), "--data", str(data), "--strict") == 1
    )
    with pytest.raises(LikewiseError):
        cut_short(data / "a" / "00.png")
        run.evaluate(str(data), strict=True)


def test_files_that_cannot_be_opened_count_for_max_bad_with_those_found_in_training(
    tmp_path, decoding
):
    data = hurt_folder(tmp_path / "data", broken=("a/03.png",))
    (data / "b" / "empty.png").touch()
    (data / "b" / "scan.cr2").touch()  # another format, which is named but not counted
    settings = {**SETTINGS, "steps": 12}
    with pytest.raises(FilesLeftOut, match=r"2 of \d+ .*b/empty\.png"):
        lw.train(str(data), out=str(tmp_path / "a"), **{**settings, "max_bad": 0.09})
    run = lw.train(str(data), out=str(tmp_path / "b"), **{**settings, "max_bad": 0.12})
    listed = json.loads(run.folder.unread.read_text())["unread"]
    assert set(listed) == {"a/03.png", "b/empty.png"}


def test_many_files_that_cannot_be_opened_are_refused_before_anything_is_decoded(tmp_path):
    data = hurt_folder(tmp_path / "data", broken=())
    for name in ("b/empty.png", "a/empty.png"):
        (data / name).touch()
    with pytest.raises(FilesLeftOut, match="2 of 26"):
        lw.prepare(str(data), max_bad=0.05)
