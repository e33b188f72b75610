from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from likewise.data.manifest import Manifest
from likewise.data.pixel_source import ArrayPixels
from likewise.data.sources.concat import concat
from likewise.data.stable_order import ranks_within_class
from likewise.errors import LikewiseError


def manifest_of(labels, ids=None, splits=None) -> Manifest:
    count = len(labels)
    images = np.arange(count, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    return Manifest(
        "made", ArrayPixels(images), torch.tensor(labels), np.array(splits or ["train"] * count),
        ids or [f"i{i}" for i in range(count)], tuple("abcdefgh"[: max(labels) + 1]),
    )  # fmt: skip


def held_out(manifest: Manifest) -> set[str]:
    return set(manifest.split("test").ids)


def test_take_keeps_rows_together():
    take_columns = manifest_of([0, 1, 2, 1]).take([3, 0])
    assert list(take_columns.ids) == ["i3", "i0"]
    assert take_columns.labels.tolist() == [1, 0]
    assert [take_columns.pixels.read(i).pixels[0, 0] for i in (0, 1)] == [3, 0]


def test_joined_parts_keep_their_pixels_in_any_order():
    both = concat([manifest_of([0, 1]), manifest_of([1, 0, 1], ids=["x", "y", "z"])], "both")
    mixed = both.take([4, 1, 2]).take([0, 2, 1])
    assert list(mixed.ids) == ["z", "x", "i1"]
    assert [mixed.pixels.read(i).pixels[0, 0] for i in range(3)] == [2, 0, 1]
    assert [both.pixels.read(i).pixels[0, 0] for i in range(5)] == [0, 1, 0, 1, 2]
    assert mixed.pixels.headers.sizes.tolist() == [[4, 4]] * 3


def test_hold_out_takes_a_share_of_every_class():
    manifest = manifest_of([0] * 40 + [1] * 20 + [2] * 10).hold_out(0.2, seed=0)
    test = manifest.split("test")
    assert torch.bincount(test.labels).tolist() == [8, 4, 2]
    assert len(manifest.split("train")) == 56


def test_hold_out_depends_on_ids_and_not_on_order():
    manifest = manifest_of([0] * 40 + [1] * 20)
    shuffled = manifest.take(np.random.default_rng(0).permutation(60))
    assert held_out(manifest.hold_out(0.3, 1)) == held_out(shuffled.hold_out(0.3, 1))
    assert held_out(manifest.hold_out(0.3, 1)) != held_out(manifest.hold_out(0.3, 2))


def test_hold_out_leaves_other_splits_the_unlabelled_and_single_images():
    manifest = manifest_of(
        [0, 0, 0, 0, 1, -1, -1] + [0] * 20, splits=["train"] * 7 + ["val"] * 20
    ).hold_out(0.5, 0)
    assert torch.bincount(manifest.split("test").labels).tolist() == [2]
    assert list(manifest.split("val").ids) == [f"i{i}" for i in range(7, 27)]
    assert {"i4", "i5", "i6"} <= set(manifest.split("train").ids)


def test_hold_out_of_wholly_unlabelled_images():
    assert len(manifest_of([-1] * 10).hold_out(0.3, 0).split("test")) == 3
    with pytest.raises(LikewiseError, match=r"fraction 20\b"):
        manifest_of([0, 0]).hold_out(20, 0)


def test_ranks_are_an_order_of_each_class():
    labels = np.array([1, 0, 1, 1, 0, -1])
    ranks = ranks_within_class(labels, list("abcdef"), "key")
    for c in (0, 1, -1):
        assert sorted(ranks[labels == c]) == list(range((labels == c).sum()))


def test_summary_is_json_and_counts():
    manifest = manifest_of([0, 1, 1, -1], splits=["train", "train", "test", "train"])
    summary = json.loads(json.dumps(manifest.summary()))
    assert summary["splits"] == {
        "train": {"images": 3, "labelled": 2},
        "test": {"images": 1, "labelled": 1},
    }
    assert (summary["labelled"], summary["unlabelled"]) == (3, 1)
    assert summary["classes"] == {"a": 1, "b": 2}
    assert summary["sizes"]["median"] == [4, 4] and summary["modes"] == {"L": 4}


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(LikewiseError, match="length"):
        Manifest(
            "made",
            ArrayPixels(np.zeros((2, 4, 4), np.uint8)),
            torch.zeros(3).long(),
            np.array(["train"] * 2),
            ["a", "b"],
            ("x",),
        )
    with pytest.raises(LikewiseError, match="outside"):
        manifest_of([0, 1]).with_labels(torch.tensor([0, 2]))
