"""A teacher is the folder of a finished run."""

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
from likewise import cli
from likewise.encoders import load_encoder
from likewise.methods.hsakd import HSAKD
from likewise.methods.hsakd_teacher import HSAKDTeacher
from likewise.methods.kd import KD
from likewise.methods.method import classify
from likewise.run_folder import RunFolder
from likewise.runs.trained import load_trained

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
    return trained(
        source, tmp_path_factory.mktemp("runs") / "supervised", "cross-entropy", encoder="conv4"
    )


@pytest.fixture(scope="module")
def contrastive(tmp_path_factory, source):
    return trained(source, tmp_path_factory.mktemp("runs") / "contrastive", "simclr")


@pytest.fixture(scope="module")
def auxiliary(tmp_path_factory, source):
    return trained(
        source, tmp_path_factory.mktemp("runs") / "auxiliary", "hsakd-teacher", encoder="conv4"
    )


@pytest.fixture(scope="module")
def distilled(tmp_path_factory, source, auxiliary):
    return trained(
        source,
        tmp_path_factory.mktemp("runs") / "distilled",
        HSAKD(teacher=str(auxiliary.folder.path)),
    )


def read(path):
    return json.loads(path.read_text())


def same(one, other):
    """Whether two networks hold the same numbers, bit for bit."""
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("method", "trains_teacher"), [("kd", "cross-entropy"), ("hsakd", "hsakd-teacher")]
)
def test_without_a_teacher_the_error_names_both_commands(method, trains_teacher, tmp_path, source):
    with pytest.raises(lw.LikewiseError) as refused:
        trained(source, tmp_path / "a", method)
    lines = [
        line.strip()
        for line in str(refused.value).splitlines()
        if line.startswith("  likewise train DATA")
    ]
    assert [
        f"--method {trains_teacher} " in lines[0],
        f"--method {method} --method.teacher" in lines[1],
    ] == [True] * 2
    assert not (tmp_path / "a").exists()


def test_the_student_learns_from_the_networks_of_the_run_that_was_given(distilled, auxiliary):
    stored = torch.load(distilled.folder.checkpoint, weights_only=True)["learner"]
    learned = load_trained(auxiliary.folder.path).nets.state_dict()
    teacher = {
        name.removeprefix("nets.teacher.nets."): v
        for name, v in stored.items()
        if ".teacher." in name
    }
    assert teacher.keys() == learned.keys()
    assert [
        name for name, tensor in learned.items() if not torch.equal(tensor, teacher[name])
    ] == []
    assert str(auxiliary.folder.path) in distilled.folder.log.read_text().replace("\n", "")
    exported = load_file(distilled.folder.weights)
    assert all(name in exported for name, _ in distilled.encoder.named_parameters())
    assert not [name for name in exported if "auxiliar" in name]


def test_the_scores_say_how_often_student_and_teacher_agree(distilled, auxiliary):
    scores = {score["name"]: score for score in read(distilled.folder.scores)["trained"]}
    of_teacher = {score["name"]: score for score in read(auxiliary.folder.scores)["trained"]}
    assert scores["teacher_top1"]["value"] == of_teacher["classifier_top1"]["value"]
    assert 0 <= scores["teacher_agreement"]["value"] <= 1
    assert scores["teacher_agreement"]["count"] == scores["classifier_top1"]["count"]
    assert "teacher_agreement" not in of_teacher


def test_evaluating_again_retains_the_teachers_scores(distilled):
    before = distilled.scores
    assert {"classifier_top1", "teacher_top1", "teacher_agreement"} <= set(before)
    assert lw.load(distilled.folder.path).evaluate() == pytest.approx(before)


def test_all_networks_of_a_run_can_be_loaded(distilled, supervised):
    images, _ = pictures()
    pixels = torch.from_numpy(images)[:, None].float() / 255
    for run in (distilled, supervised):
        learned = load_trained(run.folder.path)
        assert not learned.nets.training
        assert classify(learned.method, learned.nets, pixels).shape == (48, 2)
        assert same(learned.nets.encoder, load_encoder(run.folder.path)[0])
        assert len(learned.class_names) == 2


def test_a_run_with_a_classifier_is_frozen_and_given_auxiliaries(supervised, tmp_path, source):
    teacher = trained(
        source, tmp_path / "a", HSAKDTeacher(teacher=str(supervised.folder.path)), encoder="auto"
    )
    assert same(load_encoder(teacher.folder.path)[0], supervised.encoder)
    before, after = (load_trained(run.folder.path).nets for run in (supervised, teacher))
    assert same(before.classifier, after.classifier)
    student = trained(source, tmp_path / "b", HSAKD(teacher=str(teacher.folder.path)))
    assert student.scores["teacher_top1"] == supervised.scores["classifier_top1"]


def test_hsakd_names_the_command_that_adds_auxiliaries_to_a_classifier(
    supervised, tmp_path, source
):
    with pytest.raises(
        lw.LikewiseError, match=f"hsakd-teacher --method.teacher {supervised.folder.path}"
    ):
        trained(source, tmp_path / "a", HSAKD(teacher=str(supervised.folder.path)))
    assert not (tmp_path / "a").exists()


def test_kd_learns_from_any_run_with_a_classifier(supervised, distilled, tmp_path, source):
    for name, teacher in (("a", supervised), ("b", distilled)):
        run = trained(source, tmp_path / name, KD(teacher=str(teacher.folder.path)))
        assert run.scores["teacher_top1"] == teacher.scores["classifier_top1"]


def stop_once(run, step):
    """Send Ctrl-C when the run's log has so many steps."""

    def watch():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if any(line.get("step", 0) >= step for line in run.metric_lines()):
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.005)

    threading.Thread(target=watch, daemon=True).start()


def test_a_student_that_was_stopped_and_resumed_equals_one_that_never_was(
    supervised, tmp_path, source
):
    student = KD(teacher=str(supervised.folder.path))
    whole = trained(source, tmp_path / "whole", student, steps=40)
    run = RunFolder(tmp_path / "a")
    stop_once(run, 10)
    with pytest.raises(lw.LikewiseError, match=f"out='{run.path}'"):
        trained(source, run.path, student, steps=40)
    resumed = trained(source, run.path, student, steps=40, resume=True)
    assert same(resumed.encoder, whole.encoder)
    assert resumed.scores == whole.scores


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ("absent", "absent"),
        ("simclr", "--method.teacher"),
        ("stopped", "--resume"),
        ("size", "12 .* 16 here"),
        ("classes", "0, 1 .* 0, 1, 2 here"),
        ("channels", "1 .* 3 here"),
        ("no checkpoint", "last.ckpt"),
    ],
)
@pytest.mark.parametrize("method", [KD, HSAKD])
def test_a_folder_that_cannot_teach_is_refused_before_anything_is_written(
    method, what, named, supervised, auxiliary, contrastive, tmp_path, source
):
    teacher = auxiliary if method is HSAKD else supervised
    given, settings, data = teacher.folder.path, dict(SETTINGS), source
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
    with pytest.raises(lw.LikewiseError, match=named):
        lw.train(data, method=method(teacher=str(given)), out=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_a_teacher_that_learned_from_the_test_images_is_warned_of(supervised, tmp_path, source):
    same_split = trained(source, tmp_path / "a", KD(teacher=str(supervised.folder.path)))
    other_split = trained(source, tmp_path / "b", KD(teacher=str(supervised.folder.path)), seed=1)
    warned = [
        "--test-fraction" in run.folder.log.read_text().replace("\n", "")
        for run in (same_split, other_split)
    ]
    assert warned == [False, True]


@pytest.mark.slow
def test_two_devices_learn_what_one_learns(likewise, supervised, tmp_path, source):
    """Through the launcher."""
    words = [
        "train",
        source,
        "--method",
        "kd",
        "--method.teacher",
        supervised.folder.path,
        "--precision",
        "32",
    ]
    words += [
        "--encoder",
        "conv4-half",
        "--batch-size",
        "8",
        "--steps",
        "3",
        "--num-evals",
        "0",
        "--device",
        "cpu",
    ]
    cli.main([*map(str, words), "--devices", "1", "--out", str(tmp_path / "1")])
    done = likewise(*words, "--devices", 2, "--out", "2", timeout=480)
    assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / name / "encoder.safetensors") for name in "12")
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5)
