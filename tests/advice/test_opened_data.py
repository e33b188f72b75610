"""Which labels an advice sees, and what it refuses."""

import shlex
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import likewise
from data.pictures import save
from likewise.advice.candidates import Cost, that_fit
from likewise.advice.opened_data import open_labelled
from likewise.commands.advising import Advise
from likewise.commands.words import parse
from likewise.data.open_images import MEMORY_LIMIT
from likewise.encoders import EncoderSettings
from likewise.errors import FilesLeftOut, LikewiseError


def test_labels_that_are_not_shown_are_not_there(clothes):
    images, labels = clothes
    found = open_labelled((images, labels), labels=10)
    assert torch.bincount(found.labels[found.labelled]).tolist() == [10, 10, 10]
    assert torch.equal(found.manifest.labels >= 0, found.labels >= 0)


def test_a_test_part_is_left_out_altogether(clothes):
    images, labels = clothes
    parts = {"train": (images[::2], labels[::2]), "test": (images[1::2], labels[1::2])}
    found = open_labelled(parts)
    assert len(found.labels) == 60
    assert any("60" in note for note in found.notes)


def test_classes_without_a_label_are_not_among_the_answers(clothes):
    images, labels = clothes
    shown = np.where(labels.numpy() == 1, -1, labels.numpy())
    found = open_labelled(images, labels=shown)
    assert found.classes == 2
    assert set(found.labels.unique().tolist()) == {-1, 0, 1}


@pytest.mark.parametrize("labels", ["all", "none"])
def test_no_labels_are_refused_with_what_to_type(clothes, labels):
    data = clothes if labels == "none" else clothes[0]
    with pytest.raises(LikewiseError, match=r"--labels labels\.csv"):
        open_labelled(data, labels=labels)


def test_one_class_is_refused_by_name(clothes):
    images, labels = clothes
    with pytest.raises(LikewiseError, match="one class"):
        open_labelled((images[:40], labels[:40]))


def test_classes_minus_one_and_one_are_refused_with_another_number_to_write(clothes):
    with pytest.raises(LikewiseError, match="-1 means no label"):
        open_labelled((clothes[0], np.arange(len(clothes[0])) % 2 * 2 - 1))


def test_some_of_the_images_are_taken_with_a_note(clothes):
    images, labels = clothes
    found = open_labelled((images, labels))
    some = found.take(torch.arange(0, 120, 3))
    assert len(some.labels) == len(some.manifest) == 40
    assert torch.equal(some.labels, found.labels[::3])
    assert len(some.notes) == len(found.notes) + 1


def test_several_classes_an_image_are_refused_with_what_to_do_instead(clothes):
    images, _ = clothes
    several = np.arange(240).reshape(120, 2) % 2
    with pytest.raises(LikewiseError, match="likewise train"):
        open_labelled((images, several))


def test_a_range_of_pixels_is_that_of_the_encoders_and_of_the_longer_command(monkeypatch, tmp_path):
    deep = np.random.default_rng(0).integers(0, 4096, (12, 8, 8), dtype=np.uint16)
    seen = []

    def session(data, *_):
        seen.append(data)
        return SimpleNamespace(run=lambda command, overwrite: command)

    monkeypatch.setattr("likewise.advice.advise.Session", session)
    command = likewise.advise(
        deep, np.arange(12) % 2, time="1m", out=tmp_path / "out", pixel_range=(0.0, 2000.5)
    )  # fmt: skip
    given = parse(Advise, shlex.split(command)[2:], "likewise advise")
    assert given.pixel_range == (0, 2000.5) and given.time != "1m"
    encoder = seen[0].seen_by(EncoderSettings("conv4", 8, (0.5,), (0.5,)))
    assert encoder.given_range == (0, 2000.5)
    found = open_labelled(deep, labels=np.arange(12) % 2)
    assert (
        found.seen_by(encoder).pixel_range == (0, 4095) and not found.seen_by(encoder).given_range
    )
    with pytest.raises(LikewiseError, match="--pixel-range"):
        likewise.advise(deep.astype(np.uint8), np.arange(12) % 2, pixel_range=(0, 99))


def damage(file):
    """Make a PNG that opens and cannot be decoded."""
    content = file.read_bytes()
    file.write_bytes(content[:200] + bytes(64) + content[264:])


@pytest.mark.parametrize("memory", [MEMORY_LIMIT, 0], ids=["in memory", "on demand"])
def test_images_that_cannot_be_decoded_are_left_out_and_named(tmp_path, monkeypatch, memory):
    monkeypatch.setattr("likewise.data.open_images.MEMORY_LIMIT", memory)
    for number in range(8):
        save(tmp_path / "ab"[number % 2] / f"{number}.png", number, 24, 24)
    damage(tmp_path / "a" / "2.png")
    damage(tmp_path / "b" / "3.png")
    assert open_labelled(tmp_path).fits_in_memory(12) is (memory > 0)
    opened, found = open_labelled(tmp_path).readable(12, max_bad=0.25)
    assert len(opened.labels) == len(found) == 6 and not found.unreadable
    assert {"a/2.png", "b/3.png"}.isdisjoint(opened.manifest.ids)
    assert any("2 images" in note and "a/2.png" in note for note in opened.notes)
    assert len(found.read(torch.arange(6)).images) == 6
    with pytest.raises(FilesLeftOut, match=r"--max-bad 0\.2 .*a/2\.png"):
        open_labelled(tmp_path).readable(12, max_bad=0.2)
    for number in (1, 5, 7):
        damage(tmp_path / "b" / f"{number}.png")
    with pytest.raises(LikewiseError, match="No labelled image of b"):
        open_labelled(tmp_path).readable(12, max_bad=1.0)


def test_files_that_cannot_be_opened_count_too(tmp_path):
    for number in range(8):
        save(tmp_path / "ab"[number % 2] / f"{number}.png", number, 24, 24)
    file = tmp_path / "a" / "2.png"
    file.write_bytes(file.read_bytes()[:40])
    opened, found = open_labelled(tmp_path).readable(12, max_bad=0.13)
    assert len(opened.labels) == len(found) == 7
    with pytest.raises(FilesLeftOut, match=r"a/2\.png"):
        open_labelled(tmp_path).readable(12, max_bad=0.12)


def test_a_set_that_does_not_fit_in_memory_is_decoded_more_often(monkeypatch, clothes):
    """So fewer images fit into the time, and the time is kept."""

    def chosen(memory):
        monkeypatch.setattr("likewise.data.open_images.MEMORY_LIMIT", memory)
        return that_fit(open_labelled(clothes), 12, Cost(decoding=0.04, forward=0.04), 10.0, seed=0)

    (most, seconds), (fewer, longer) = chosen(MEMORY_LIMIT), chosen(0)
    assert len(most.labels) == 50 and seconds == pytest.approx(4.0)
    assert len(fewer.labels) == 25 and longer == pytest.approx(4.0)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_of_bad_files_is_one(clothes, share):
    with pytest.raises(LikewiseError, match="max_bad"):
        likewise.advise(clothes, max_bad=share)


def test_the_longer_command_has_the_columns_that_were_named(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "likewise.advice.advise.Session",
        lambda *_: SimpleNamespace(run=lambda command, overwrite: command),
    )
    for number in range(4):
        Image.fromarray(np.full((8, 8), 60 * number, np.uint8)).save(tmp_path / f"{number}.png")
    file = tmp_path / "labels.csv"
    file.write_text("where,what,who\n" + "".join(f"{n}.png,{n % 2},{n}\n" for n in range(4)))
    named = {"path_column": "where", "label_column": "what", "group_column": "who"}
    command = likewise.advise(
        file, time="1m", out=tmp_path / "out", missing_labels="class", **named
    )
    given = vars(parse(Advise, shlex.split(command)[2:], "likewise advise"))
    assert {name: given[name] for name in named} == named and given["missing_labels"] == "class"
