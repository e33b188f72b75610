"""From a folder of photographs to an encoder, scores and a page; stopped, killed and continued at any moment."""

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file

import likewise as lw
from cli.conftest import SHORT
from likewise import cli
from likewise.evaluation.metrics.fine_tune import FineTune
from likewise.report.last_screen import last_screen
from likewise.runs.evaluate_run import RunEvaluation
from likewise.runs.run import Run


@pytest.fixture(scope="module")
def trained(photographs, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "a"
    settings = {
        "image_size": 16,
        "batch_size": 8,
        "steps": 4,
        "num_evals": 2,
        "device": "cpu",
        "out": out,
    }
    return lw.train(str(photographs), labels="4", **settings)


def test_a_run_leaves_everything_that_it_promises(trained):
    names = {path.name for path in trained.folder.path.iterdir()}
    assert names >= {
        "config.json", "environment.json", "data.json", "metrics.jsonl", "scores.json", "gallery.npz", "report.html",
        "encoder.safetensors", "encoder.json", "checkpoints", "logs", "train.log",
    }  # fmt: skip
    assert {"knn20_top1", "linear_top1", "linear_on_budget_top1", "few2_top1"} <= set(
        trained.scores
    )
    assert not [name for name in names if name.endswith(".partial")]
    logs = [path.name for path in (trained.folder.path / "logs").rglob("*") if path.is_file()]
    assert any(name.endswith(".csv") for name in logs)
    assert any("tfevents" in name for name in logs)


def test_auto_took_the_method_for_a_few_labels_and_counted_its_images(trained):
    config = json.loads(trained.folder.config.read_text())
    assert config["method"]["name"] == "suncet"
    lines = [line for line in trained.folder.metric_lines() if "loss" in line]
    # Each step forwards two views of 8 images and a support of 3 classes x 2 images, which is 0.45 of them or less.
    assert lines[-1]["images"] == 4 * (2 * 8 + 3 * 2)
    data = json.loads(trained.folder.data.read_text())
    assert data["visible_labels"] == 12
    assert [each["visible_labels"] for each in data["classes"]] == [4, 4, 4]


def test_scores_stand_beside_an_untrained_encoder_with_intervals(trained):
    scores = json.loads(trained.folder.scores.read_text())
    assert {s["name"] for s in scores["trained"]} == {s["name"] for s in scores["untrained"]}
    for score in scores["trained"] + scores["untrained"]:
        assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1
    knn = next(s for s in scores["trained"] if s["name"] == "knn20_top1")
    assert knn["protocol"]["k"] == 20
    assert knn["protocol"]["temperature"] == 0.07


def test_the_encoder_that_is_loaded_is_the_one_that_was_scored(trained, photographs):
    vectors = trained.embed(str(photographs))
    assert vectors.vectors.shape == (42, 256)
    again = lw.load(trained.folder.path).embed(str(photographs))
    assert torch.equal(vectors.vectors, again.vectors)
    with np.load(trained.folder.gallery) as gallery:
        stored = dict(
            zip(gallery["ids"].tolist(), gallery["vectors"].astype(np.float32), strict=True)
        )
    embedded = dict(zip(vectors.ids, vectors.vectors.numpy(), strict=True))
    name = next(iter(stored))
    np.testing.assert_allclose(stored[name], embedded[name], atol=0.02)


def test_a_run_whose_images_moved_says_where_they_were(trained, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(trained.folder.path, moved)
    config = json.loads((moved / "config.json").read_text())
    del config["checksum"]
    (moved / "config.json").write_text(json.dumps({**config, "data": "absent/photos"}))
    with pytest.raises(lw.LikewiseError, match=r"absent/photos.*--data"):
        lw.load(moved).evaluate()
    with pytest.raises(lw.LikewiseError, match="other/photos") as refused:
        lw.load(moved).evaluate("other/photos")
    assert str(moved) not in str(refused.value)


def test_vectors_that_cannot_be_written_are_not_computed(
    trained, photographs, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(Run, "embed", lambda *given, **options: pytest.fail("it was embedded"))
    written = tmp_path / "vectors.parquet"
    written.touch()
    refused = {
        written: "--overwrite",
        tmp_path / "absent" / "v.parquet": "absent",
        tmp_path / "v.csv": ".parquet",
    }
    for out, named in refused.items():
        with pytest.raises(SystemExit) as stopped:
            cli.main(["embed", str(trained.folder.path), str(photographs), "--out", str(out)])
        assert stopped.value.code == 2
        assert named in capsys.readouterr().err


def test_embed_and_search(trained, photographs, tmp_path):
    vectors = trained.embed(str(photographs))
    vectors.save(tmp_path / "vectors.parquet")
    table = parquet.read_table(tmp_path / "vectors.parquet")
    assert table.column_names == ["id", "label", "vector"]
    assert set(table["label"].to_pylist()) == {"cat", "dog", "owl"}
    best = trained.search(photographs / "dog" / "03.png", tmp_path / "vectors.parquet", count=3)
    assert best[0].id == "dog/03.png"
    assert best[0].cosine == pytest.approx(1, abs=1e-4)
    with pytest.raises(lw.LikewiseError, match=r"vectors\.parquet"):
        vectors.save(tmp_path / "vectors.parquet")
    (tmp_path / "list.txt").write_text(f"{photographs}/dog/03.png 1\n{photographs}/cat/00.png 0\n")
    words = ["embed", str(trained.folder.path), str(tmp_path / "list.txt")]
    cli.main([*words, "--out", str(tmp_path / "listed.parquet")])
    assert parquet.read_table(tmp_path / "listed.parquet").num_rows == 2
    with pytest.raises(lw.LikewiseError, match="folder of a run"):
        trained.export("safetensors", out=trained.folder.path)
    for query, named in ((photographs / "dog", "folder"), (photographs / "absent.png", "absent")):
        with pytest.raises(lw.LikewiseError, match=named) as refused:
            trained.search(query, vectors)
        assert "fashion-mnist" not in str(refused.value)


def test_evaluating_again_gives_the_same_scores(trained):
    before = trained.scores
    assert lw.load(trained.folder.path).evaluate() == pytest.approx(before)


def test_fine_tuning_beside_its_baselines_on_the_labels_shown(trained, monkeypatch):
    from likewise.evaluation import run_scores

    monkeypatch.setattr(
        run_scores, "FineTune", lambda seed: FineTune(steps=3, epochs=1, batch_size=8, seed=seed)
    )
    before = [p.clone() for p in trained.encoder.parameters()]
    assert "fine_tune_top1" in trained.evaluate(fine_tune=True)
    scores = json.loads(trained.folder.scores.read_text())
    for who in ("trained", "untrained"):
        (score,) = [each for each in scores[who] if each["name"] == "fine_tune_top1"]
        assert score["protocol"]["labels"] == 12
        assert score["protocol"]["steps"] == 3
    assert all(
        torch.equal(p, old) for p, old in zip(trained.encoder.parameters(), before, strict=True)
    )
    assert (
        "fine_tune" in trained.folder.report.read_text()
        or "fine-tun" in trained.folder.report.read_text()
    )


def test_corrupted_images_and_the_bank_before_the_imbalance(photographs, tmp_path):
    settings = {"image_size": 16, "batch_size": 8, "steps": 4, "num_evals": 0, "device": "cpu"}
    unequal = {"imbalance": "step", "imbalance_ratio": 5.0}
    run = lw.train(
        str(photographs), method="cross_entropy", out=tmp_path / "a", **settings, **unequal
    )
    before = json.loads(run.folder.scores.read_text())
    assert {"knn20_rare_top1", "linear_frequent_top1", "classifier_top1"} <= set(run.scores)
    assert set(before["calibration"]["trained"]) == {"linear_top1", "classifier_top1"}

    scores = run.evaluate(corruptions=True, full_bank=True, neighbours=1)
    after = json.loads(run.folder.scores.read_text())
    assert {
        "knn1_top1",
        "knn1_rare_top1",
        "corrupted_linear_top1",
        "corrupted_classifier_top1",
    } <= set(scores)
    assert scores["classifier_top1"] == next(
        s["value"] for s in before["trained"] if s["name"] == "classifier_top1"
    )
    assert (
        after["calibration"]["trained"]["classifier_top1"]
        == before["calibration"]["trained"]["classifier_top1"]
    )
    banks = [
        next(
            score["protocol"]["bank"]
            for score in content["trained"]
            if score["name"].startswith("knn")
        )
        for content in (before, after)
    ]
    evaluation = RunEvaluation(run.folder, *run._loaded, None)
    before_imbalance = evaluation.open(None, evaluation.trained_with, full_bank=True)
    assert banks[0] < banks[1] == len(before_imbalance.seen)
    assert {gain["name"] for gain in after["differences"]} >= {
        "knn1_rare_top1",
        "corrupted_linear_top1",
    }
    found = after["corruptions"]
    assert len(found["kinds"]) == 15 and set(found["linear"]) == {"trained", "untrained"}
    assert found["classifier"]["trained"]["clean"] == pytest.approx(scores["classifier_top1"])
    page = run.folder.report.read_text()
    assert 'data-chart="reliability"' in page and 'data-chart="accuracy-by-severity"' in page
    assert "k-NN (k=1), rare classes" in page
    for width in (80, 120):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(last_screen(run.folder))
        printed = console.export_text()
        assert max(map(len, printed.splitlines())) <= width
        assert "gaussian_noise" in printed and "calibration error (ECE)" in printed


def test_options_of_evaluate_that_cannot_be_are_refused(trained, photographs):
    with pytest.raises(lw.LikewiseError, match="--full-bank"):
        trained.evaluate(full_bank=True)
    with pytest.raises(lw.LikewiseError, match="--full-bank"):
        trained.evaluate(str(photographs), full_bank=True)
    with pytest.raises(lw.LikewiseError, match="neighbours=0"):
        trained.evaluate(neighbours=0)


def test_other_data_are_scored_elsewhere(trained, photographs):
    before = trained.folder.scores.read_text()
    scores = trained.evaluate(str(photographs))
    assert "linear_top1" in scores
    assert trained.folder.scores.read_text() == before
    assert (trained.folder.path / "evaluations").is_dir()


def test_a_finished_run_is_a_start_for_another(trained, photographs, tmp_path):
    settings = {"image_size": 16, "batch_size": 8, "steps": 1, "num_evals": 0, "device": "cpu"}
    run = lw.train(
        str(photographs),
        method="supcon",
        from_run=str(trained.folder.path),
        out=tmp_path / "b",
        **settings,
    )
    scores = json.loads(run.folder.scores.read_text())
    assert set(scores) >= {"trained", "start", "untrained"}
    start, before = scores["start"], json.loads(trained.folder.scores.read_text())["trained"]
    value = {s["name"]: s["value"] for s in before}
    assert all(
        s["value"] == pytest.approx(value[s["name"]]) for s in start if s["name"] == "knn20_top1"
    )


def test_classes_come_out_of_arrays_too(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12), dtype=np.uint8)
    labels = np.arange(40) % 2
    run = lw.train(
        (images, labels),
        method="cross-entropy",
        steps=2,
        batch_size=8,
        out=tmp_path / "a",
        device="cpu",
    )
    assert "classifier_top1" in run.scores


def test_images_without_any_label(photographs, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in photographs.rglob("*.png"):
        Image.open(path).save(flat / f"{path.parent.name}-{path.name}")
    run = lw.train(
        str(flat), steps=2, batch_size=8, image_size=16, out=tmp_path / "a", device="cpu"
    )
    assert run.scores == {}
    scores = json.loads(run.folder.scores.read_text())
    assert scores["label_free"]["trained"]["effective_rank"] > 1
    assert "effective_rank" in run.folder.metrics.read_text()
    assert run.folder.report.exists()


def simclr_words(photographs, out, *more):
    words = [
        "train",
        photographs,
        "--method",
        "simclr",
        "--out",
        out,
        "--image-size",
        "16",
        "--batch-size",
        "8",
    ]
    words += [
        "--encoder",
        "conv4-half",
        "--steps",
        "60",
        "--save-every",
        "1",
        "--num-evals",
        "0",
        "--device",
        "cpu",
    ]
    return [str(word) for word in (*words, *more)]


def start(folder, photographs, out, *more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.Popen(
        [sys.executable, "-m", "likewise.cli", *simclr_words(photographs, out, *more)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment,
    )  # fmt: skip


def wait_for_steps(out, count, process):
    """Until the log tells that so many steps are done."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        log = out / "metrics.jsonl"
        if log.exists() and any(
            json.loads(line)["step"] >= count
            for line in log.read_text().splitlines()
            if line.endswith("}")
        ):
            return
        time.sleep(0.02)
    raise AssertionError(f"no step {count}: {process.communicate(timeout=300)}")


@pytest.mark.long
def test_stopped_killed_and_continued_gives_the_same_weights(photographs, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    cli.main(simclr_words(photographs, whole))

    stopped = start(tmp_path, photographs, broken)
    wait_for_steps(broken, 10, stopped)
    stopped.send_signal(signal.SIGINT)
    _, errors = stopped.communicate(timeout=120)
    assert stopped.returncode == 130
    assert "--resume" in errors
    assert "Traceback" not in errors
    assert "likewise train" in errors

    killed = start(tmp_path, photographs, broken, "--resume")
    wait_for_steps(broken, 30, killed)
    killed.kill()
    killed.wait(60)

    cli.main(simclr_words(photographs, broken, "--resume"))
    one, other = load_file(whole / "encoder.safetensors"), load_file(broken / "encoder.safetensors")
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    stretches = list((broken / "logs" / "csv").glob("*/metrics.csv"))
    assert len(stretches) >= 2  # no stretch's log was deleted by the next
    steps = [
        json.loads(line)["step"] for line in (broken / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == sorted(steps)


def test_stopped_while_it_scores_nothing_is_lost(photographs, tmp_path, monkeypatch):
    from likewise.runs import finish_run

    def interrupted(*arguments):
        raise KeyboardInterrupt

    settings = {
        "image_size": 16,
        "batch_size": 8,
        "steps": 2,
        "num_evals": 0,
        "device": "cpu",
        "out": tmp_path / "a",
    }
    with monkeypatch.context() as patch:
        patch.setattr(finish_run, "score_encoder", interrupted)
        with pytest.raises(lw.LikewiseError, match="resume=True"):
            lw.train(str(photographs), method="simclr", **settings)
    weights = (tmp_path / "a" / "encoder.safetensors").read_bytes()
    run = lw.train(str(photographs), method="simclr", resume=True, **settings)
    assert "linear_top1" in run.scores
    assert run.folder.weights.read_bytes() == weights


def test_a_run_is_not_continued_with_other_settings_nor_overwritten(trained, photographs, capsys):
    out = trained.folder.path
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    words = ["train", str(photographs), "--out", str(out), "--labels", "4", *SHORT]
    for more, named in (
        ([], ["--overwrite"]),
        (["--method", "simclr", "--resume"], ["method.name", "'suncet'", "'simclr'"]),
    ):
        with pytest.raises(SystemExit) as refused:
            cli.main([*words, *more])
        assert refused.value.code == 2
        errors = capsys.readouterr().err
        assert [word for word in named if word not in errors] == []
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.long
def test_two_devices_learn_what_one_learns(photographs, likewise, tmp_path):
    """Through the launcher, in float32: the same weights but for the order of sums."""
    words = ["train", str(photographs), "--method", "moco-v2", "--precision", "32", *SHORT]
    cli.main([*words, "--devices", "1", "--out", str(tmp_path / "1")])
    done = likewise(*words, "--devices", 2, "--out", tmp_path / "2")
    assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / name / "encoder.safetensors") for name in "12")
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.slow  # processes start; the loader's refusal itself is tested with it
def test_a_batch_that_two_devices_cannot_share_is_refused(photographs, likewise, tmp_path):
    words = ["train", str(photographs), *SHORT, "--batch-size", "7", "--devices", "2"]
    uneven = likewise(*words, "--out", tmp_path / "uneven")
    assert uneven.returncode == 2
    assert "batch" in uneven.stderr and "7" in uneven.stderr and "8" in uneven.stderr


def test_the_line_that_continues_a_run_names_its_folder(photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "photos-simclr").mkdir(parents=True)
    cli.main(["train", str(photographs), "--method", "simclr", *SHORT])
    (second,) = (tmp_path / "runs").glob("*-2")
    config = json.loads((second / "config.json").read_text())
    assert config["resume"].endswith(f"--out runs/{second.name} --resume")
    cli.main(shlex.split(config["resume"])[1:])


def test_python_says_what_it_does_not_know(photographs):
    with pytest.raises(lw.LikewiseError, match="'batch_size'"):
        lw.train(str(photographs), bach_size=8)
    with pytest.raises(lw.LikewiseError, match="mean 'method'"):
        lw.train(str(photographs), methd="simclr")


@pytest.mark.slow
def test_a_compiled_encoder_learns_the_same(tmp_path, photographs):
    """Fused operations round differently, and nothing else changes."""
    settings = {
        "method": "simclr",
        "steps": 2,
        "batch_size": 8,
        "image_size": 32,
        "device": "cpu",
        "num_evals": 1,
    }
    eager, compiled = (
        lw.train(str(photographs), out=tmp_path / compiled, compile=compiled, **settings).embed(
            str(photographs)
        )
        for compiled in ("off", "on")
    )
    torch.testing.assert_close(compiled.vectors, eager.vectors, rtol=1e-2, atol=1e-3)
