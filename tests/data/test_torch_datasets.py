from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
)
from torchvision import datasets, transforms

from data.pictures import cut_short, photo_folder, picture
from likewise.data.open_images import open_images
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError

FAKE = datasets.FakeData(12, (3, 8, 8), num_classes=3)


class Items(Dataset):
    """A data set of given items that counts how often each is read."""

    def __init__(self, items, **attributes):
        self.items, self.reads = items, []
        for name, value in attributes.items():
            setattr(self, name, value)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        self.reads.append(row)
        if isinstance(self.items[row], Exception):
            raise self.items[row]
        return self.items[row]


def images_of(manifest) -> np.ndarray:
    """uint8 [N, H, W, C]."""
    return (
        open_images(manifest).read(torch.arange(len(manifest))).images.permute(0, 2, 3, 1).numpy()
    )


def test_a_torchvision_data_set_gives_its_images_and_labels():
    manifest = open_manifest(FAKE)
    np.testing.assert_array_equal(images_of(manifest), [np.asarray(image) for image, _ in FAKE])
    assert manifest.labels.tolist() == [int(label) for _, label in FAKE]
    assert manifest.splits.tolist() == ["train"] * 12


def test_class_names_are_the_data_sets_own(tmp_path):
    folder = photo_folder(tmp_path, "cat/1.png", "dog/2.png", "cat/3.png")
    manifest = open_manifest(datasets.ImageFolder(str(folder)))
    assert manifest.class_names == ("cat", "dog") and manifest.labels.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(images_of(manifest)[2], np.asarray(picture(1)))


def test_labels_are_taken_from_targets_without_reading_every_item():
    count = 2000
    items = Items(
        [(picture(0), i % 2) for i in range(count)], targets=[i % 2 for i in range(count)]
    )
    manifest = open_manifest(items)
    assert manifest.labels.tolist() == [i % 2 for i in range(count)]
    assert len(items.reads) < count / 2
    assert (manifest.pixels.headers.sizes == 8).all()


def test_targets_that_are_not_what_the_items_say_are_not_believed():
    items = Items([(picture(i), 1) for i in range(4)], targets=["a.xml", "b.xml", "c.xml", "d.xml"])
    assert open_manifest(items).class_names == ("1",)


def test_a_subset_keeps_the_positions_of_the_whole_as_ids():
    nested = Subset(Subset(FAKE, [7, 3, 5]), [2, 0])
    manifest = open_manifest(nested)
    assert list(manifest.ids) == ["5", "7"]
    assert manifest.labels.tolist() == [
        list(manifest.class_names).index(str(int(FAKE[i][1]))) for i in (5, 7)
    ]
    both = open_manifest(ConcatDataset([FAKE, nested]))
    assert len(set(both.ids)) == 14


@pytest.mark.parametrize("item", [
    (picture(1), 1), {"image": picture(1), "label": 1}, (np.asarray(picture(1)), np.int64(1)),
    (torch.from_numpy(np.asarray(picture(1)).copy()).permute(2, 0, 1), torch.tensor(1)),
    (transforms.functional.to_tensor(picture(1)), torch.tensor([1])),
])  # fmt: skip
def test_every_kind_of_item_gives_the_same_pixels(item):
    manifest = open_manifest(Items([item] * 3))
    np.testing.assert_array_equal(images_of(manifest)[2], np.asarray(picture(1)))
    assert manifest.labels.tolist() == [0, 0, 0] and manifest.class_names == ("1",)


def test_images_without_labels():
    manifest = open_manifest(Items([picture(i) for i in range(3)]))
    assert manifest.labelled() == 0 and len(manifest) == 3


def test_thirteen_channels_stay_thirteen():
    tensors = torch.randint(0, 256, (4, 13, 9, 9), dtype=torch.uint8)
    images = open_images(open_manifest(TensorDataset(tensors, torch.arange(4))))
    assert images.channels == 13 and torch.equal(
        images.read(torch.tensor([2])).images[0], tensors[2]
    )


def test_data_sets_by_split():
    manifest = open_manifest(
        {"train": FAKE, "validation": Subset(FAKE, [0]), "test": datasets.FakeData(5, (3, 8, 8))}
    )
    assert manifest.splits.tolist() == ["train"] * 12 + ["val"] + ["test"] * 5
    assert len(set(manifest.ids)) == 18
    unlabelled = open_manifest({"train": FAKE, "unlabeled": FAKE})
    assert unlabelled.labelled() == 12 and set(unlabelled.splits) == {"train"}


def test_images_are_read_when_they_are_asked_for_also_in_another_process():
    items = Items([(picture(i), 0) for i in range(20)], targets=[0] * 20)
    images = open_images(open_manifest(items), memory_limit=0)
    copy = pickle.loads(pickle.dumps(images))
    items.reads.clear()
    np.testing.assert_array_equal(
        images.read(torch.tensor([7])).images[0].permute(1, 2, 0), np.asarray(picture(7))
    )
    assert items.reads == [7]
    assert torch.equal(copy.read(torch.tensor([7])).images, images.read(torch.tensor([7])).images)


def test_a_data_set_that_sets_the_global_seed_is_read_by_one_thread_at_a_time():
    many = datasets.FakeData(64, (3, 8, 8))
    np.testing.assert_array_equal(
        images_of(open_manifest(many)), [np.asarray(image) for image, _ in many]
    )


def test_normalised_tensors_are_refused_with_the_transform_named():
    steps = [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.2] * 3)]
    with pytest.raises(LikewiseError, match="Normalize"):
        open_manifest(datasets.FakeData(4, (3, 8, 8), transform=transforms.Compose(steps)))
    kept = open_manifest(datasets.FakeData(4, (3, 8, 8), transform=transforms.ToTensor()))
    assert any("ToTensor" in note for note in kept.notes)


def test_bad_items_are_skipped_with_their_reason(tmp_path):
    broken = cut_short(photo_folder(tmp_path, "0.png") / "0.png")
    manifest = open_manifest(
        Items([(picture(1), 0), OSError("gone"), (Image.open(broken), 1), (picture(2), 1)])
    )
    assert list(manifest.ids) == ["0", "3"] and manifest.labelled() == 2
    assert [skipped.id for skipped in manifest.skipped] == ["1", "2"]
    assert "gone" in manifest.skipped[0].reason


def test_an_item_that_fails_later_is_replaced_and_listed():
    items = Items([(picture(i), 0) for i in range(6)])
    manifest = open_manifest(items)
    items.items[2] = OSError("gone")
    images = open_images(manifest, memory_limit=0)
    assert images.replaced(torch.tensor([2])).positions.tolist() == [3]
    assert set(images.unreadable) == {"2"}


class Stream(IterableDataset):
    def __iter__(self):
        return iter([picture(0)])


@pytest.mark.parametrize(("data", "value"), [
    (Stream(), "Stream"), (DataLoader(FAKE), "loader.dataset"), (Items([]), "Items"),
    (Items([{"pixels": picture(0)}]), "pixels"), (Items([("a picture", 3)] * 2), "a picture"),
    (Items([(picture(0), torch.zeros(10))]), "Tensor"), (Items([(picture(0), {"boxes": []})]), "dict"),
    (Items([(3.5, 0)]), "float"), ({"trian": FAKE}, "trian"), ({}, "none"),
    (Items([(torch.zeros(8, 8, 3), 0)]), r"permute\(2, 0, 1\)"),
])  # fmt: skip
def test_what_does_not_fit_is_an_error_that_names_it(data, value):
    with pytest.raises(LikewiseError, match=value):
        open_manifest(data)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_list_of_items_is_a_data_set(count):
    pictures = [picture(i) for i in range(count)]
    expected = images_of(open_manifest(Items(pictures)))
    for items in (pictures, [{"image": image, "label": 0} for image in pictures]):
        np.testing.assert_array_equal(images_of(open_manifest(items)), expected)
    if count > 2:
        manifest = open_manifest([(image, f"class {i % 2}") for i, image in enumerate(pictures)])
        np.testing.assert_array_equal(images_of(manifest), expected)
        assert manifest.labels.tolist() == [0, 1, 0, 1, 0]


def test_a_picture_is_a_set_of_one():
    np.testing.assert_array_equal(images_of(open_manifest(picture(3))), [np.asarray(picture(3))])


def two_hugging_face_sets():
    datasets = pytest.importorskip("datasets")
    return [datasets.Dataset.from_dict({"label": [0, 1]}) for _ in range(2)]


def splits_of_torch():
    return torch.utils.data.random_split(TensorDataset(torch.zeros(8, 3, 6, 6)), [6, 2])


@pytest.mark.parametrize(
    "parts",
    [splits_of_torch, lambda: tuple(splits_of_torch()), two_hugging_face_sets],
    ids=["random_split", "pair", "load_dataset"],
)
def test_data_sets_in_a_row_ask_for_their_splits(parts):
    with pytest.raises(LikewiseError, match=r"'train'.*ConcatDataset"):
        open_manifest(parts())
