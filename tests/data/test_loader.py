from __future__ import annotations

import re

import pytest
import torch

from data.pictures import cut_short, save
from likewise.data.batch import Pixels
from likewise.data.images import InMemoryImages
from likewise.data.loader import Loader, Support
from likewise.data.open_images import open_images
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError

COUNT = 23
LABELS = torch.tensor([0, 1, 2, -1] * 5 + [0, 1, -1])
IMAGES = InMemoryImages(
    Pixels(
        torch.arange(COUNT, dtype=torch.uint8)[:, None, None, None].repeat(1, 1, 4, 4),
        torch.ones(COUNT),
    )
)


def first(count: int) -> InMemoryImages:
    return InMemoryImages(Pixels(*(part[:count] for part in IMAGES.pixels[:2])))


def loader(**options) -> Loader:
    return Loader(
        IMAGES, LABELS, **{"batch_size": 6, "seed": 0, "support": Support(3, 2), **options}
    )


def test_rows_of_a_batch_belong_together():
    for batch in loader().batches(0, 8):
        assert batch.support is not None
        for part in (batch, batch.support):
            assert part.pixels.images[:, 0, 0, 0].tolist() == part.indices.tolist()
            assert torch.equal(part.labels, LABELS[part.indices])
        assert batch.pixels.images.shape == (6, 1, 4, 4) and batch.pixels.aspect.shape == (6,)
        assert len(batch.support.indices) == 6 and (batch.support.labels >= 0).all()


def test_starting_later_gives_what_would_have_come():
    whole = list(loader().batches(0, 9))
    for a, b in zip(whole[5:], loader().batches(5, 9), strict=True):
        assert torch.equal(a.indices, b.indices) and torch.equal(
            a.support.indices, b.support.indices
        )


def test_ranks_cut_the_same_batch():
    for step in (0, 4):
        whole = loader().batch(step)
        parts = [loader(rank=rank, world_size=3).batch(step) for rank in range(3)]
        assert torch.equal(torch.cat([part.indices for part in parts]), whole.indices)
        assert torch.equal(
            torch.cat([part.support.indices for part in parts]), whole.support.indices
        )
        assert torch.equal(torch.cat([part.pixels.images for part in parts]), whole.pixels.images)


def test_support_ends_where_it_is_told_to():
    ending = loader().with_support(until_step=2)
    assert [batch.support is not None for batch in ending.batches(0, 4)] == [
        True,
        True,
        False,
        False,
    ]
    assert torch.equal(ending.batch(3).indices, loader().batch(3).indices)
    assert loader(support=None).with_support(2).batch(0).support is None


def test_support_is_its_share_of_two_views_and_an_explicit_number_stays():
    for batch_size in (64, 176, 512, 2816):
        rows = 10 * Support(10, None).images_for_batch(batch_size)
        assert rows / (2 * batch_size) == pytest.approx(0.45, abs=5 / (2 * batch_size))
    assert Support(10, None, share=0.1).images_for_batch(512) == 10
    assert [Support(10, 8).images_for_batch(512, most=most) for most in (None, 8, 5)] == [8, 8, 5]
    assert Support(10, None).images_for_batch(512, most=10) == 10
    assert Support(10, None).images_for_batch(2) == 2
    assert loader(support=Support(3, None)).batch(0).support.labels.bincount().tolist() == [2, 2, 2]


@pytest.mark.parametrize("classes", [1, 3, 7, 10])
def test_a_support_by_its_share_fits_the_devices_and_two_draw_what_one_does(classes):
    support = Support(classes, None)
    for world_size in (1, 2, 3, 4, 8):
        images = support.images_for_batch(480, world_size, most=20)
        assert classes * images % world_size == 0 and 0 < images <= 24
    assert support.images_for_batch(480, 2, most=19) == support.images_for_batch(480, 1, most=19)


def test_an_epoch_is_whole_batches():
    assert loader().steps_per_epoch == 3
    assert len({i for batch in loader().batches(0, 3) for i in batch.indices.tolist()}) == 18


@pytest.mark.parametrize(("options", "said"), [
    ({"batch_size": 1}, "at least 2.*--batch-size 16"), ({"batch_size": 24}, "only 23.*--batch-size 16"),
    ({"world_size": 4}, "multiple of 4.*--batch-size 8"), ({"support": Support(4, 2)}, "3 classes have labels"),
    ({"support": Support(3, 1), "world_size": 2}, "support batch of 3"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_at_once(options, said):
    with pytest.raises(LikewiseError, match=said):
        loader(**options)


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [2, 3, 7, 23])
@pytest.mark.parametrize("batch_size", [-1, 0, 1, 3, 5, 22, 24, 500])
def test_the_batch_size_that_a_refusal_names_is_accepted(batch_size, count, world_size):
    images, labels = first(count), LABELS[:count]
    try:
        Loader(images, labels, batch_size, 0, world_size=world_size)
    except LikewiseError as error:
        named = re.search(r"--batch-size (\d+)", str(error))
        assert (named is None) == (count < world_size)
        if named is not None:
            Loader(images, labels, int(named[1]), 0, world_size=world_size)


@pytest.mark.parametrize(("count", "world_size", "size"), [(2, 1, "2"), (3, 3, "3"), (7, 4, "4")])
def test_the_one_size_that_is_left_is_named_without_a_range(count, world_size, size):
    with pytest.raises(LikewiseError) as refused:
        Loader(first(count), LABELS[:count], 25, 0, world_size=world_size)
    named = re.findall(r"\d+", str(refused.value).partition("training images.")[2])
    assert named[-1] == size and not re.search(r"(\d+) to \1|multiple", str(refused.value))


def test_one_image_is_refused_without_a_batch_size():
    with pytest.raises(LikewiseError, match="1 training image") as refused:
        Loader(first(1), LABELS[:1], 2, 0)
    assert "batch" not in str(refused.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_files_give_the_same_batches_and_tell_what_is_unreadable(tmp_path, workers):
    for i in range(12):
        save(tmp_path / f"{'ab'[i % 2]}/{i:02d}.png", i)
    manifest = open_manifest(tmp_path)
    cut_short(tmp_path / "a/04.png")
    options = {"labels": manifest.labels, "batch_size": 4, "seed": 0, "support": Support(2, 2)}
    in_memory = Loader(open_images(manifest), **options)
    in_files = Loader(open_images(manifest, memory_limit=0), **options, workers=workers)
    lost = list(manifest.ids).index("a/04.png")
    for a, b in zip(in_memory.batches(1, 7), in_files.batches(1, 7), strict=True):
        assert torch.equal(a.indices, b.indices) and torch.equal(
            a.support.indices, b.support.indices
        )
        assert torch.equal(a.pixels.images, b.pixels.images) and torch.equal(a.labels, b.labels)
        assert lost not in a.indices
    assert set(in_files.images.unreadable) == {"a/04.png"}
