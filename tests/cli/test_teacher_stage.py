"""A teacher is a run: given by its folder, or trained first by the same command, which can be stopped in either."""

import json
import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import likewise as lw
from cli.conftest import write_photographs
from likewise.encoders import load_encoder
from likewise.methods.hsakd import HSAKD
from likewise.methods.kd import KD
from likewise.run_folder import RunFolder
from likewise.training.networks import load_trained

SETTINGS = {"encoder": "conv4-half", "batch_size": 8, "steps": 2, "num_evals": 0, "device": "cpu"}


def pictures(count=48, size=12, classes=2):
    random, labels = np.random.default_rng(0), np.arange(count) % classes
    noise = random.integers(0, 100, (count, size, size))
    return (noise + 100 * (labels % 2)[:, None, None]).astype(np.uint8), labels


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "pictures.npz", *pictures())


def write(path, images, labels):
    np.savez(path, images=images, labels=labels)
    return str(path)


def trained(source, out, method, **settings):
    return lw.train(source, method=method, out=out, **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def supervised(tmp_path_factory, source):
    return trained(source, tmp_path_factory.mktemp("runs") / "supervised", "cross-entropy", encoder="conv4")


@pytest.fixture(scope="module")
def contrastive(tmp_path_factory, source):
    return trained(source, tmp_path_factory.mktemp("runs") / "contrastive", "simclr")


@pytest.fixture(scope="module")
def distilled(tmp_path_factory, source):
    return trained(source, tmp_path_factory.mktemp("runs") / "distilled", "hsakd")


def read(path):
    return json.loads(path.read_text())


def same(one, other):
    """Whether two networks hold the same numbers, bit for bit."""
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_one_command_trains_the_teacher_as_a_run_of_its_own_and_then_the_student(distilled):
    teacher = distilled.folder.teacher
    assert read(teacher.config)["method"]["name"] == "hsakd-teacher"
    assert read(teacher.encoder)["name"] == "conv4"  # the next larger one
    assert read(distilled.folder.encoder)["name"] == "conv4-half"
    for run in (teacher, distilled.folder):
        assert run.checkpoint.exists()
        assert run.report.exists()
        assert "linear_top1" in run.scores.read_text()
    log = distilled.folder.log.read_text().replace("\n", " ")
    assert "hsakd-teacher on conv4 on 12 px" in log
    assert "trained first" in log
    stored = torch.load(distilled.folder.checkpoint, weights_only=True)["learner"]
    learned = load_trained(teacher.path).nets.state_dict()
    kept = {name.removeprefix("nets.teacher.nets."): v for name, v in stored.items() if ".teacher." in name}
    assert kept.keys() == learned.keys()
    assert [name for name, tensor in learned.items() if not torch.equal(tensor, kept[name])] == []
    learns = [name for name, _ in distilled.encoder.named_parameters()]
    assert all(name in load_file(distilled.folder.weights) for name in learns)
    assert not [name for name in load_file(distilled.folder.weights) if "auxiliar" in name]


def test_the_scores_tell_how_often_student_and_teacher_agree(distilled):
    scores = {each["name"]: each for each in read(distilled.folder.scores)["trained"]}
    of_teacher = {each["name"]: each for each in read(distilled.folder.teacher.scores)["trained"]}
    assert scores["teacher_top1"]["value"] == of_teacher["classifier_top1"]["value"]
    assert 0 <= scores["teacher_agreement"]["value"] <= 1
    assert scores["teacher_agreement"]["count"] == scores["classifier_top1"]["count"]
    assert "teacher_agreement" not in of_teacher
    assert "the same answer as its teacher" in distilled.folder.report.read_text()


def test_evaluating_again_keeps_what_was_said_of_the_teacher(distilled):
    before = distilled.scores
    assert {"classifier_top1", "teacher_top1", "teacher_agreement"} <= set(before)
    assert lw.load(distilled.folder.path).evaluate() == pytest.approx(before)


def test_all_networks_of_a_run_can_be_loaded(distilled, supervised):
    images, _ = pictures()
    pixels = torch.from_numpy(images)[:, None].float() / 255
    for run in (distilled, supervised):
        learned = load_trained(run.folder.path)
        assert not learned.nets.training
        assert learned.method.classify(learned.nets, pixels).shape == (48, 2)
        assert same(learned.nets.encoder, load_encoder(run.folder.path)[0])
        assert len(learned.class_names) == 2


def test_a_folder_with_hsakds_teacher_is_used_as_it_is(distilled, tmp_path, source):
    run = trained(source, tmp_path / "b", HSAKD(teacher=str(distilled.folder.teacher.path)))
    assert not run.folder.teacher.path.exists()
    assert run.scores == pytest.approx(distilled.scores)
    assert same(run.encoder, distilled.encoder)


def test_a_folder_with_a_classifier_is_kept_and_given_auxiliaries_first(supervised, tmp_path, source):
    run = trained(source, tmp_path / "b", HSAKD(teacher=str(supervised.folder.path)))
    stage = run.folder.teacher
    assert read(stage.config)["method"]["settings"]["teacher"] == str(supervised.folder.path)
    assert same(load_encoder(stage.path)[0], supervised.encoder)
    kept, learned = (load_trained(path).nets for path in (supervised.folder.path, stage.path))
    assert same(kept.classifier, learned.classifier)
    assert run.scores["teacher_top1"] == supervised.scores["classifier_top1"]


def test_kd_learns_from_any_run_with_a_classifier(supervised, distilled, tmp_path, source):
    for name, teacher in (("a", supervised), ("b", distilled)):
        run = trained(source, tmp_path / name, KD(teacher=str(teacher.folder.path)))
        assert not run.folder.teacher.path.exists()
        assert run.scores["teacher_top1"] == teacher.scores["classifier_top1"]


def stop_once(run, step):
    """Send Ctrl-C when a run's log tells that so many steps are done."""

    def watch():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if any(line.get("step", 0) >= step for line in run.metric_lines()):
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.005)

    threading.Thread(target=watch, daemon=True).start()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, source):
    return trained(source, tmp_path_factory.mktemp("runs") / "whole", "kd", steps=60)


@pytest.mark.parametrize("stage", ["teacher", "student"])
def test_stopped_in_either_stage_and_resumed_equals_never_stopped(stage, whole, tmp_path, source):
    run = RunFolder(tmp_path / "a")
    stop_once(run.teacher if stage == "teacher" else run, 10)
    with pytest.raises(lw.LikewiseError, match="To continue: the same call") as stopped:
        trained(source, run.path, "kd", steps=60)
    assert str(stopped.value).count("To continue") == 1
    assert f"out='{run.path}'" in str(stopped.value)
    assert run.teacher.done == (stage == "student")
    assert run.checkpoint.exists() == (stage == "student")
    before = run.teacher.scores.stat().st_mtime_ns if stage == "student" else 0
    resumed = trained(source, run.path, "kd", steps=60, resume=True)
    assert same(resumed.encoder, whole.encoder)
    assert same(load_encoder(run.teacher.path)[0], load_encoder(whole.folder.teacher.path)[0])
    assert resumed.scores == whole.scores
    if stage == "student":
        assert run.teacher.scores.stat().st_mtime_ns == before  # a teacher that is done is left alone


def test_overwriting_a_run_removes_its_teacher(supervised, tmp_path, source):
    out = tmp_path / "a"
    trained(source, out, "kd")
    with pytest.raises(lw.LikewiseError, match="is not empty"):
        trained(source, out, "kd")
    run = trained(source, out, KD(teacher=str(supervised.folder.path)), overwrite=True)
    assert not run.folder.teacher.config.exists()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("absent", "is not a run"),
        ("simclr", "SimCLR trains no classifier"),
        ("stopped", "stopped before its end"),
        ("size", "pixels along a side: 12 there, 16 here"),
        ("classes", r"classes: 0, 1 there, 0, 1, 2 here"),
        ("channels", "colour channels: 1 there, 3 here"),
        ("no checkpoint", "has lost"),
    ],
)
@pytest.mark.parametrize("method", [KD, HSAKD])
def test_a_folder_that_cannot_teach_is_refused_before_anything_is_written(
    method, what, said, supervised, contrastive, tmp_path, source
):
    given, settings, data = supervised.folder.path, dict(SETTINGS), source
    if what == "absent":
        given = tmp_path / "absent"
    if what == "simclr":
        given = contrastive.folder.path
    if what in ("stopped", "no checkpoint"):
        given = shutil.copytree(given, tmp_path / "given")
        run = RunFolder(given)
        (run.weights if what == "stopped" else run.checkpoint).unlink()
    if what == "size":
        settings["image_size"] = 16
    if what == "classes":
        data = pictures(classes=3)
    if what == "channels":
        data, settings["image_size"] = str(write_photographs(tmp_path / "photos")), 12
    with pytest.raises(lw.LikewiseError, match=said):
        lw.train(data, method=method(teacher=str(given)), out=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_a_teacher_that_has_seen_the_test_images_is_warned_of(supervised, tmp_path, source):
    alike = trained(source, tmp_path / "a", KD(teacher=str(supervised.folder.path)))
    other = trained(source, tmp_path / "b", KD(teacher=str(supervised.folder.path)), seed=1)
    told = [" ".join(run.folder.log.read_text().split()) for run in (alike, other)]  # lines break anywhere
    assert "has seen" not in told[0]
    assert "has seen" in told[1]


def test_two_devices_learn_what_one_learns(likewise, tmp_path, source):
    """Through the launcher, both stages."""
    words = ["train", source, "--method", "kd", "--precision", "32", "--encoder", "conv4-half"]
    words += ["--batch-size", "8", "--steps", "3", "--num-evals", "0", "--device", "cpu"]
    for devices in (1, 2):
        done = likewise(*words, "--devices", devices, "--out", str(devices), timeout=480)
        assert done.returncode == 0, done.stderr
    for stage in ("", "teacher"):
        one, two = (load_file(tmp_path / name / stage / "encoder.safetensors") for name in "12")
        for name, tensor in one.items():
            torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5)
