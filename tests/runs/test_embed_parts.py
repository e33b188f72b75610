"""Vectors in a folder of parts: nothing twice, nothing lost, by one process or two, also after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

import likewise as lw
from likewise.cli import main
from likewise.errors import LikewiseError
from likewise.vectors import read_vectors

SETTINGS = {
    "encoder": "conv4-half",
    "batch_size": 8,
    "steps": 2,
    "num_evals": 0,
    "device": "cpu",
    "loggers": (),
}
COUNT = 50


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of 25 images; the eighth to the tenth are no image behind their headers."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(COUNT):
        file = folder / ("cat" if number < 25 else "dog") / f"{number:02}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(file)
    for number in (8, 9, 10):
        file = folder / "cat" / f"{number:02}.png"
        content = bytearray(file.read_bytes())
        content[200:264] = bytes(64)
        file.write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    return lw.train(str(photos), out=tmp_path_factory.mktemp("run") / "a", max_bad=0.5, **SETTINGS)


def assert_same(one, other):
    assert one.ids == other.ids and one.labels == other.labels
    assert one.encoder == other.encoder and dict(one.skipped) == dict(other.skipped)
    torch.testing.assert_close(one.vectors, other.vectors)


@pytest.mark.parametrize("part_size", [1, 3, 7, 50, 1000])
def test_the_parts_together_are_the_vectors(run, photos, tmp_path, part_size):
    whole = run.embed(str(photos))
    made = run.embed_parts(str(photos), tmp_path / "vectors", part_size=part_size)
    assert (made.vectors, made.parts, made.found) == (47, -(-COUNT // part_size), 0)
    assert set(made.skipped) == {f"cat/{n:02}.png" for n in (8, 9, 10)}
    assert_same(read_vectors(tmp_path / "vectors"), whole)


def test_search_and_evaluate_read_the_folder(run, photos, tmp_path):
    run.embed_parts(str(photos), tmp_path / "vectors", part_size=3)
    query = photos / "dog" / "30.png"
    in_memory = run.search(query, run.embed(str(photos)), count=60)
    in_parts = run.search(query, tmp_path / "vectors", count=60)
    assert len(in_parts) == 47 and in_parts[0].id == "dog/30.png" and in_parts[0].label == "dog"
    assert [found.id for found in in_parts] == [found.id for found in in_memory]
    assert [found.cosine for found in in_parts] == pytest.approx(
        [found.cosine for found in in_memory], abs=1e-5
    )
    found = lw.evaluate(tmp_path / "vectors", measures=("knn",), test=0.4)
    assert "knn20_top1" in found.scores


def test_predict_reads_the_folder_and_the_file(run, photos, tmp_path):
    of_images = run.predict(str(photos)).table.to_pylist()
    run.embed_parts(str(photos), tmp_path / "vectors", part_size=3)
    run.embed(str(photos)).save(tmp_path / "vectors.parquet")
    for vectors in (tmp_path / "vectors", str(tmp_path / "vectors.parquet")):
        of_vectors = run.predict(vectors).table.to_pylist()
        assert [row["path"] for row in of_vectors if row["error"]] == [
            f"cat/{n:02}.png" for n in (8, 9, 10)
        ]
        found = {row["path"]: row for row in of_vectors}
        for row in of_images:
            assert (
                found[row["path"]]["class"] == row["class"]
                and found[row["path"]]["unlike"] == row["unlike"]
            )
            assert found[row["path"]]["probability"] == pytest.approx(row["probability"], abs=1e-5)
    first = run.predict(tmp_path / "vectors", tmp_path / "p.csv")
    assert len(first) == COUNT


def test_vectors_of_another_encoder_are_not_predicted(run, photos, tmp_path):
    other = lw.train(str(photos), out=tmp_path / "other", max_bad=0.5, **{**SETTINGS, "seed": 1})
    other.embed_parts(str(photos), tmp_path / "vectors", part_size=30)
    with pytest.raises(LikewiseError, match="another encoder"):
        run.predict(tmp_path / "vectors")


def test_a_finished_part_is_not_made_again_and_a_lost_one_is(run, photos, tmp_path):
    out = tmp_path / "vectors"
    run.embed_parts(str(photos), out, part_size=10)
    (out / "part-00000-00002.parquet").unlink()
    with pytest.raises(LikewiseError, match=r"1 of 5 parts \(number 2\)"):
        read_vectors(out)
    with pytest.raises(LikewiseError, match="number 2"):
        run.search(photos / "dog" / "30.png", out)
    written = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    assert run.embed_parts(str(photos), out, part_size=10).found == 4
    again = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    assert written.items() < again.items() and len(again) == 5
    assert_same(read_vectors(out), run.embed(str(photos)))


def test_a_folder_of_other_vectors_is_refused_and_replaced_on_request(run, photos, tmp_path):
    out = tmp_path / "vectors"
    run.embed_parts(str(photos), out, part_size=10)
    other = lw.train(str(photos), out=tmp_path / "other", max_bad=0.5, **{**SETTINGS, "seed": 1})
    for embed, size in ((other, 10), (run, 20)):
        with pytest.raises(LikewiseError, match="--overwrite"):
            embed.embed_parts(str(photos), out, part_size=size)
    with pytest.raises(LikewiseError, match="another encoder"):
        other.search(photos / "dog" / "30.png", out)
    assert other.embed_parts(str(photos), out, part_size=20, overwrite=True).parts == 3
    assert_same(read_vectors(out), other.embed(str(photos)))
    (out / "notes.parquet").write_bytes((out / "part-00000-00001.parquet").read_bytes())
    read_vectors(out)
    run.embed(str(photos)).save(out / "notes.parquet", overwrite=True)
    with pytest.raises(LikewiseError, match=r"notes\.parquet"):
        read_vectors(out)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--part-size", "10", "--out", "v.parquet"], "--out v"),
        (["--part-size", "0", "--out", "v"], "--part-size"),
        (["--devices", "999", "--out", "v"], "--devices 999"),
    ],
)
def test_options_that_do_not_fit_are_named(
    run, photos, tmp_path, capsys, monkeypatch, words, named
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["embed", str(run.folder.path), str(photos), *words])
    assert named in capsys.readouterr().err


SLOW = """
import os, sys, time
from likewise.cli import main
from likewise.runs import embedding

at_rows = embedding.EmbeddedImages.at_rows

def slowly(self, rows, *given):
    with open("embedded.txt", "a") as file:
        file.write(f"{rows.start} {os.getpid()}\\n")
    time.sleep(0.3)
    return at_rows(self, rows, *given)

embedding.EmbeddedImages.at_rows = slowly
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_two_processes_share_the_parts_and_go_on_after_a_kill(run, photos, tmp_path):
    (tmp_path / "embed.py").write_text(SLOW)
    out = tmp_path / "vectors"
    words = ["embed", str(run.folder.path), str(photos), "--part-size", "2", "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(*more):
        command = [sys.executable, "embed.py", *words, *more]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True)

    process = start("--devices", "2")
    wait_until(lambda: len(list(out.glob("part-*"))) >= 6, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(300)
    finished = {file: file.stat().st_mtime_ns for file in out.glob("part-*")}
    first = starts(tmp_path)
    assert (
        len({process for _, process in first}) == 2
        and len({file.name[5:10] for file in finished}) == 2
    )
    assert len(finished) < 25
    process = start()  # one process goes on with what two have begun
    assert process.wait(timeout=120) == 0
    assert {file: file.stat().st_mtime_ns for file in finished} == finished
    embedded = Counter(row for row, _ in starts(tmp_path))
    done = {2 * int(file.name[11:16]) for file in finished}
    assert set(embedded) == set(range(0, COUNT, 2))
    assert all(embedded[row] == 1 for row in done)
    assert_same(read_vectors(out), run.embed(str(photos)))


def starts(folder):
    return [
        tuple(map(int, line.split())) for line in (folder / "embedded.txt").read_text().splitlines()
    ]


def wait_until(reached, process):
    deadline = time.monotonic() + 90
    while not reached():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
