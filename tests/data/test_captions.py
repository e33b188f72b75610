"""Captions come in with their images and stay with them, whatever is picked, split, joined, shuffled or unreadable."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.captioned import captioned_parquet
from data.pictures import cut_short, photo_folder, save
from likewise.data.batch import Batch, Pixels
from likewise.data.columns.captions import CAPTIONS, Captions
from likewise.data.data_settings import DataSettings
from likewise.data.loader import Loader, Support
from likewise.data.open_images import open_images
from likewise.data.sources.open import open_manifest
from likewise.data.splitter import DataSplitter
from likewise.errors import LikewiseError


def texts(manifest):
    return list(manifest.columns[CAPTIONS].texts)


@pytest.mark.parametrize("column", ["captions", "caption", "text"])
def test_a_column_of_strings_or_of_lists_of_strings(tmp_path, column):
    several = captioned_parquet(
        tmp_path / "a.parquet", [["a dog", "two  dogs\n"], [], None], column
    )
    assert texts(open_manifest(several)) == [("a dog", "two dogs"), (), ()]
    one = captioned_parquet(tmp_path / "b.parquet", ["犬", "  ", None, "🐶 собака"], column)
    assert texts(open_manifest(one)) == [("犬",), (), (), ("🐶 собака",)]


def test_what_holds_no_text_is_no_caption(tmp_path):
    assert open_manifest(captioned_parquet(tmp_path / "a.parquet", [3, 4], "text")).columns == {}
    assert open_manifest(captioned_parquet(tmp_path / "b.parquet", [3, 4], "")).columns == {}


def test_files_with_and_without_captions_go_together(tmp_path):
    captioned_parquet(tmp_path / "set/train-0.parquet", ["one", "two"])
    captioned_parquet(tmp_path / "set/train-1.parquet", [0, 0, 0], "other")
    assert texts(open_manifest(tmp_path / "set")) == [("one",), ("two",), (), (), ()]


def test_rows_follow_their_images(tmp_path):
    manifest = open_manifest(captioned_parquet(tmp_path / "a.parquet", [str(i) for i in range(6)]))
    assert texts(manifest.take([4, 1])) == [("4",), ("1",)]
    other = open_manifest(photo_folder(tmp_path / "photos", "p.png", "q.png"))
    concat = open_manifest(manifest, test_data=other)
    assert texts(concat) == [(str(i),) for i in range(6)] + [(), ()]
    assert texts(open_manifest(other, test_data=manifest)) == [(), ()] + [
        (str(i),) for i in range(6)
    ]
    assert concat.summary()["columns"] == {CAPTIONS: 6}


def test_an_unusable_row_takes_its_caption_with_it(tmp_path):
    import pyarrow.parquet as pq

    file = captioned_parquet(tmp_path / "a.parquet", ["zero", "one", "two"])
    table = pq.read_table(file).to_pylist()
    table[1]["image"]["bytes"] = b"no image"
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(table), file)
    assert texts(open_manifest(file)) == [("zero",), ("two",)]


def csv(tmp_path, *lines, heading="image_path,caption"):
    file = tmp_path / "captions.csv"
    file.write_text("\n".join([heading, *lines]) + "\n", encoding="utf-8")
    return file


def test_a_csv_has_a_line_for_each_caption(tmp_path):
    photos = photo_folder(tmp_path / "photos", "x/a.png", "x/b.png", "x/c.png")
    file = csv(tmp_path, 'photos/x/b.png,"a dog, brown"', "photos/x/b.png,a pet", "photos/x/a.png,")
    alone = open_manifest(file)
    assert list(alone.ids) == ["photos/x/a.png", "photos/x/b.png"]
    assert texts(alone) == [(), ("a dog, brown", "a pet")]
    beside = open_manifest(photos, captions=csv(tmp_path, "x/b.png,a dog"))
    assert texts(beside) == [(), ("a dog",), ()]
    assert beside.class_names == ("x",)


def test_a_csv_may_have_labels_and_splits_too(tmp_path):
    photo_folder(tmp_path, "a.png", "b.png")
    manifest = open_manifest(
        csv(tmp_path, "a.png,dog,test,a dog", "b.png,cat,train,a cat", "a.png,dog,test,a hound",
            heading="image_path,label,split,caption")
    )  # fmt: skip
    assert texts(manifest) == [("a dog", "a hound"), ("a cat",)]
    assert manifest.labels.tolist() == [1, 0]
    assert manifest.splits.tolist() == ["test", "train"]


@pytest.mark.parametrize(("heading", "line", "said"), [
    ("image_path,words,more", "a.png,x,y", "--caption-column"),
    ("image_path,caption", "z.png,x", r"z\.png.*a\.png"),
    ("image_path,caption", ",x", "line 2"),
    ("image_path,caption", "", "no line below"),
])  # fmt: skip
def test_what_a_csv_of_captions_can_get_wrong(tmp_path, heading, line, said):
    photos = photo_folder(tmp_path / "photos", "a.png")
    with pytest.raises(LikewiseError, match=said):
        open_manifest(photos, captions=csv(tmp_path, *([line] if line else []), heading=heading))


def test_captions_without_labels_are_split_by_id(tmp_path):
    manifest = open_manifest(
        captioned_parquet(tmp_path / "a.parquet", [f"caption {i}" for i in range(40)])
    )
    split = DataSplitter(DataSettings()).list_examples(manifest)
    assert {name: int((split.splits == name).sum()) for name in ("train", "val", "test")} == {
        "train": 29, "val": 3, "test": 8,
    }  # fmt: skip
    assert texts(split) == texts(manifest)
    order = np.random.default_rng(0).permutation(40)
    shuffled = DataSplitter(DataSettings()).list_examples(manifest.take(order))
    assert shuffled.splits.tolist() == split.splits[order].tolist()


def test_noise_passes_captions_on_and_touches_no_other_split(tmp_path):
    manifest = open_manifest(
        captioned_parquet(tmp_path / "a.parquet", [f"{i}" if i % 4 else None for i in range(80)])
    )
    clean = DataSplitter(DataSettings()).list_examples(manifest)
    noisy, noisier = (
        DataSplitter(DataSettings(caption_noise=share)).list_examples(manifest)
        for share in (0.3, 0.6)
    )
    moved = [
        np.array([a != b for a, b in zip(texts(clean), texts(each), strict=True)])
        for each in (noisy, noisier)
    ]
    train = (clean.splits == "train") & clean.columns[CAPTIONS].present()
    assert [int(m.sum()) for m in moved] == [round(0.3 * train.sum()), round(0.6 * train.sum())]
    assert not (moved[1] & ~train).any() and not (moved[0] & ~moved[1]).any()
    assert sorted(texts(noisy)) == sorted(texts(clean))


def test_noise_without_captions_is_refused(tmp_path):
    with pytest.raises(LikewiseError, match=r"--caption-noise.*a\.parquet"):
        manifest = captioned_parquet(tmp_path / "a.parquet", [0, 1] * 9, "label")
        DataSplitter(DataSettings(caption_noise=0.3)).list_examples(manifest)


class Numbers:
    """A column as numbers: ten times the row, and one more."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def read(self, index):
        return torch.stack([10 * index, 10 * index + 1], dim=1)


def is_its_rows(batch):
    assert torch.equal(
        batch.modalities["captions"],
        torch.stack([10 * batch.indices, 10 * batch.indices + 1], dim=1),
    )
    return True


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_brings_them_along(tmp_path, workers):
    """Over support, parts, devices, worker processes, and the row that stands in for an unreadable image."""
    for i in range(12):
        save(tmp_path / f"{'ab'[i % 2]}/{i:02d}.png", i)
    manifest = open_manifest(tmp_path)
    cut_short(tmp_path / "a/04.png")
    options = {"labels": manifest.labels, "batch_size": 4, "seed": 0, "support": Support(2, 2)}
    images = open_images(manifest, memory_limit=0)
    for batch in Loader(
        images, **options, workers=workers, modalities={"captions": Numbers(12)}
    ).batches(0, 6):
        parts = batch.microbatches(2)
        assert all(
            map(
                is_its_rows,
                [batch, batch.support, *parts, *(p.support for p in parts), batch.to("cpu")],
            )
        )
        assert torch.equal(
            torch.cat([p.modalities["captions"] for p in parts]),
            batch.modalities["captions"][[0, 2, 1, 3]],
        )
    assert images.unreadable


def test_columns_of_another_length_are_refused():
    pixels = Pixels(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.ones(4))
    from likewise.data.images import InMemoryImages

    with pytest.raises(LikewiseError, match=r"4 .*3 captions"):
        Loader(InMemoryImages(pixels), torch.zeros(4), 2, 0, modalities={"captions": Numbers(3)})
    assert Batch(pixels, torch.zeros(4), torch.arange(4)).modalities == {}


def test_joined_columns_fill_up_with_none():
    assert Captions.concat([2, Captions([("a",)]), 1]).texts == [(), (), ("a",), ()]
