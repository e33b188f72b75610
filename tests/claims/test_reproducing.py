"""A reproduction continues where it stopped, never mixes settings, and ends with a page."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from likewise import cli
from likewise.claims import CLAIMS, arm_training
from likewise.claims.arm_training import ArmTrainer
from likewise.claims.claim import ONLINE, Arm, Claim, Statement
from likewise.claims.hsakd_over_kd import Auxiliary
from likewise.claims.measures import ClassifierAccuracy, Linear, Neighbours
from likewise.claims.reproducing import Reproduction, reproduce
from likewise.data.sources import named_sets
from likewise.data.sources.named_sets import NAMED_SETS, fashion_mnist_mini, named_set
from likewise.data.synthetic.fashion_pairs import fashion_pairs
from likewise.errors import LikewiseError
from likewise.methods.cross_entropy import CrossEntropy
from likewise.methods.hsakd_teacher import HSAKDTeacher
from likewise.methods.kd import KD
from likewise.methods.simclr import SimCLR
from likewise.runs.prepare import prepare
from likewise.runs.settings import TrainSettings
from likewise.training.callbacks import Callback

SETTINGS = TrainSettings(steps=4, batch_size=32, num_evals=2)
IMAGES = 800


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A file of a few of the bundled images, in turns of the classes."""
    manifest = fashion_mnist_mini()
    few = {}
    for split, each in (("train", IMAGES // 10), ("test", 20)):
        part = manifest.split(split)
        rows = np.stack(
            [np.flatnonzero(part.labels.numpy() == c)[:each] for c in range(10)], axis=1
        ).ravel()
        few[f"{split}_images"] = part.pixels.array[rows]
        few[f"{split}_labels"] = part.labels.numpy()[rows]
    file = tmp_path_factory.mktemp("data") / "few.npz"
    np.savez(file, **few)
    return str(file)


def tiny(data, **changes):
    """Two arms of four steps."""
    arms = (
        Arm(
            "SimCLR",
            SimCLR(dim=16, hidden=16),
            SETTINGS,
            (Linear(on_budget=True), Neighbours(1, {"first": (0, 1)})),
        ),
        Arm(
            "CE",
            CrossEntropy(),
            replace(SETTINGS, label_noise=0.2),
            (ClassifierAccuracy(), Linear(on_budget=True)),
        ),
    )
    statement = Statement(
        "SimCLR - CE", lambda r: r.difference("SimCLR", "CE", "linear_on_budget_top1"), ">=", -1.0
    )
    made = Claim(
        "a paper, https://example.org",
        "a sentence",
        "a check",
        arms,
        (statement,),
        1,
        "images",
        data,
        (0,),
    )
    return replace(made, **changes)


def reproduction(out, claim, seeds=(0,), share=1.0):
    return Reproduction("tiny", claim, seeds, claim.data, share, out, "cpu", Console(quiet=True))


@pytest.fixture(scope="module")
def done(tmp_path_factory, data):
    out = tmp_path_factory.mktemp("claims") / "tiny"
    return out, reproduction(out, tiny(data)).run(keep=out.parent / "kept", overwrite=False)


def test_everything_that_a_reader_needs_is_stored(done):
    out, outcome = done
    content = json.loads((out / "outcome.json").read_text())
    assert content == json.loads((out.parent / "kept" / "tiny.json").read_text())
    assert content["verdict"] == outcome.verdict == "holds here"
    first, second = content["results"]
    assert set(first["scores"]) == {"linear_on_budget_top1", "knn1_top1", "knn1_first"}
    assert set(second["scores"]) == {"classifier_top1", "linear_on_budget_top1"}
    assert [(point["step"], point["images"]) for point in first["curve"]] == [(2, 128), (4, 256)]
    assert all(0 < point[ONLINE] < 1 for point in first["curve"])
    assert (first["images"], second["images"]) == (4 * 2 * 32, 4 * 32)
    assert first["epochs"] == pytest.approx(4 / (int(0.9 * IMAGES) // 32))
    assert first["seconds"] > 0
    assert {"commit", "machine", "torch", "precision"} <= set(
        content["environments"][first["environment"]]
    )
    assert content["arms"]["CE"]["settings"]["label_noise"] == 0.2
    assert content["arms"]["SimCLR"]["method"]["name"] == "simclr"
    assert content["arms"]["SimCLR"]["method"]["settings"]["dim"] == 16


def test_a_finished_arm_is_not_trained_again(done, data, monkeypatch):
    out, before = done
    monkeypatch.setattr("likewise.claims.arm_training.train", None)  # calling it would fail
    assert reproduction(out, tiny(data)).run(None, False).results == before.results


def test_an_interrupted_reproduction_goes_on_with_the_arm_that_is_missing(
    done, data, tmp_path, monkeypatch
):
    _, whole = done
    out, calls = tmp_path / "half", []
    real = ArmTrainer.train

    def stop_at_second(self, arm, seed, folder):
        calls.append(arm.name)
        if calls == ["SimCLR", "CE"]:
            raise KeyboardInterrupt
        return real(self, arm, seed, folder)

    monkeypatch.setattr(ArmTrainer, "train", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        reproduction(out, tiny(data)).run(None, False)
    assert not (out / "outcome.json").exists()
    again = reproduction(out, tiny(data)).run(None, False)
    assert calls == ["SimCLR", "CE", "CE"]
    assert [result.scores for result in again.results] == [
        result.scores for result in whole.results
    ]


def test_an_arm_stopped_in_its_middle_ends_as_if_it_had_not(done, data, tmp_path, monkeypatch):
    _, whole = done
    steps = []

    class Killer(Callback):
        def on_step(self, state):
            steps.append(state.step)
            if len(steps) == 3:
                raise RuntimeError("killed")

    monkeypatch.setattr(arm_training, "train", partial(arm_training.train, callbacks=(Killer(),)))
    with pytest.raises(RuntimeError, match="killed"):
        reproduction(tmp_path / "a", tiny(data)).run(None, False)
    again = reproduction(tmp_path / "a", tiny(data)).run(None, False)
    assert steps == [1, 2, 3, 3, 4, 1, 2, 3, 4]  # the last checkpoint was at step 2
    first, expected = again.results[0], whole.results[0]
    assert first.scores == expected.scores
    assert [p[ONLINE] for p in first.curve] == [p[ONLINE] for p in expected.curve]


@pytest.mark.parametrize("changed", ["steps", "share", "method"])
def test_results_of_other_settings_are_never_added(done, data, changed):
    out, _ = done
    arm, other = tiny(data).arms
    claims = {
        "steps": tiny(data, arms=(replace(arm, settings=replace(SETTINGS, steps=5)), other)),
        "method": tiny(data, arms=(replace(arm, method=SimCLR(dim=17, hidden=16)), other)),
        "share": tiny(data),
    }
    with pytest.raises(LikewiseError, match="--overwrite"):
        reproduction(out, claims[changed], share=0.5 if changed == "share" else 1.0).run(
            None, False
        )


def test_overwrite_begins_anew_and_a_strangers_folder_is_left_alone(data, tmp_path):
    out = tmp_path / "out"
    reproduction(out, tiny(data)).run(None, False)
    short = tuple(replace(arm, settings=replace(SETTINGS, steps=2)) for arm in tiny(data).arms)
    shorter = tiny(data, arms=short)
    assert [r.steps for r in reproduction(out, shorter).run(None, True).results] == [2, 2]
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    with pytest.raises(LikewiseError, match="--out"):
        reproduction(other, tiny(data)).run(None, False)


@pytest.mark.parametrize("given", [{"share": 0.5}, {"seeds": (1,)}])
def test_a_shortened_run_is_not_stored_as_evidence(data, tmp_path, given):
    with pytest.raises(LikewiseError, match=r"--keep.*--steps-share"):
        reproduction(tmp_path / "a", tiny(data), **given).run(tmp_path / "kept", False)
    assert not (tmp_path / "kept").exists()
    assert not (tmp_path / "a").exists()


def test_misuse_says_what_to_type(data, tmp_path):
    with pytest.raises(LikewiseError, match=r"'supcon-in-or-out'.*'supcon-out-or-in'"):
        reproduce("supcon-in-or-out")
    with pytest.raises(LikewiseError, match="--seeds"):
        reproduction(tmp_path, tiny(data), seeds=(1, 1))
    with pytest.raises(LikewiseError, match="--steps-share"):
        reproduction(tmp_path, tiny(data), share=0)


def test_neighbours_are_balanced_where_training_was_not(data):
    thin = replace(SETTINGS, imbalance="step", imbalance_ratio=10.0, imbalance_rare=0.8)
    prepared = prepare(data, thin)
    assert torch.bincount(prepared.train.labels).tolist() == [72] * 2 + [7] * 8

    from likewise.claims.measures import TrainedArm
    from likewise.runs.networks import build_nets

    trained = TrainedArm(data, prepared, build_nets(prepared), torch.device("cpu"))
    bank = Neighbours(1)._bank(trained)
    assert torch.bincount(bank.labels).tolist() == [72] * 10
    assert len(bank.vectors) == 720
    found = Neighbours(1, {"large": (0, 1), "rare": tuple(range(2, 10))})(trained)
    assert found["knn1_top1"] == pytest.approx(0.2 * found["knn1_large"] + 0.8 * found["knn1_rare"])


@pytest.fixture
def an_eighth(monkeypatch):
    """The generated sets with an eighth of their examples; otherwise they are made as ever."""

    def fewer(make, images, labels, count, seed):
        return make(images, labels, count // 8, seed)

    for maker in ("flow_videos", "sound_videos"):
        monkeypatch.setattr(named_sets, maker, partial(fewer, getattr(named_sets, maker)))
    monkeypatch.setattr(named_sets, "SPOKEN", {"train": 80, "test": 20})
    monkeypatch.setitem(
        NAMED_SETS, "synthetic-lip-videos", named_sets.synthetic_lip_videos.__wrapped__
    )
    few = fashion_mnist_mini().take(np.arange(0, 12_000, 8))
    monkeypatch.setitem(NAMED_SETS, "fashion-pairs", partial(fashion_pairs, lambda: few))


@pytest.mark.parametrize("name", CLAIMS)
def test_every_arm_of_a_registered_claim_can_be_built(name, an_eighth):
    """On few examples: what matters is that data, method, settings and recipe fit together."""
    claim = CLAIMS[name]
    images = torch.randint(0, 256, (2000, 28, 28), dtype=torch.uint8).numpy()
    labels = (torch.arange(2000) % 10).numpy()
    modalities = any(arm.method.modalities for arm in claim.arms)
    source = named_set(claim.data) if modalities else (images, labels)
    for arm in claim.arms:
        method = replace(arm.method, teacher="a folder") if arm.teacher else arm.method
        prepared = prepare(source, replace(arm.settings, seed=0), method, arm.recipe)
        assert prepared.steps(prepared.loader()) >= 2
        assert arm.measures
    arms = Reproduction(
        name, claim, (0,), claim.data, 1.0, Path("unused"), "cpu", Console(quiet=True)
    ).arms
    # Else a reproduction would not recognise its own record.
    assert json.loads(json.dumps(arms)) == arms


def test_the_command_line_from_end_to_end(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = (
        "reproduce",
        "supcon-out-or-in",
        "--data",
        data,
        "--seeds",
        "0",
        "--steps-share",
        "0.007",
        "--out",
        "out",
    )
    cli.main([*words, "--device", "cpu"])
    printed = capsys.readouterr().out
    assert "4 of 4  L_in, 20% wrong labels, seed 0" in printed
    assert not json.loads((tmp_path / "out" / "outcome.json").read_text())["is_evidence"]
    assert (tmp_path / "out" / "report.html").exists()
    cli.main(["reproduce"])
    listed = capsys.readouterr().out
    assert "supcon-out-or-in" in listed
    assert "not run yet" in listed


def test_the_page_opens_and_draws_its_curves(done, chromium):
    out, _ = done
    page = chromium.new_page()
    page.set_default_timeout(180_000)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((out / "report.html").as_uri())
    page.wait_for_function("() => document.querySelectorAll('.chart .main-svg').length > 0")
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [
        (out / "report.html").as_uri()
    ]
    text = page.inner_text("body")
    for part in ("holds here", "SimCLR - CE", "label_noise"):
        assert part in text
    page.check("input[value=epochs]")
    page.wait_for_function(
        "() => document.querySelector('#accuracy .xtitle').textContent === 'epochs'"
    )
    assert complaints == []
    page.close()


def test_an_arms_teacher_is_trained_first_and_kept(data, tmp_path):
    settings = replace(SETTINGS, encoder="conv4-half")
    teacher = Arm("teacher", CrossEntropy(), replace(settings, encoder="conv4"), ())
    arms = (
        Arm("KD", KD(), settings, (ClassifierAccuracy(),), teacher=teacher),
        Arm("joint", HSAKDTeacher(), settings, (Auxiliary(),)),
    )
    claim = tiny(data, arms=arms, statements=())
    first, second = reproduction(tmp_path / "out", claim).run(None, False).results
    assert 0 < first.scores["classifier_top1"] < 1
    assert 0 < second.scores["auxiliary_top1"] < 1
    assert first.images == 4 * 32  # a teacher's are not counted
    stored = torch.load(
        tmp_path / "out" / "kd-seed-0" / "checkpoints" / "last.ckpt", weights_only=True
    )["learner"]
    learned = torch.load(
        tmp_path / "out" / "kd-seed-0" / "teacher" / "checkpoints" / "last.ckpt", weights_only=True
    )
    weight = "encoder.blocks.0.0.weight"
    assert torch.equal(stored[f"nets.teacher.nets.{weight}"], learned["learner"][f"nets.{weight}"])
    assert learned["step"] == 4
