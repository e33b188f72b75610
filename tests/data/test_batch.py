from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from likewise.data.batch import UNLABELLED, Batch, RowSlice
from likewise.errors import LikewiseError

IMAGES = torch.randint(
    0, 256, (6, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


def test_images_alone_are_a_batch_without_labels():
    batch = Batch.of(IMAGES)
    assert torch.equal(batch.pixels.images, IMAGES) and batch.pixels.aspect.tolist() == [1] * 6
    assert batch.labels.tolist() == [UNLABELLED] * 6
    assert batch.indices.tolist() == list(range(6))
    assert batch.support is None and batch.row_slice is None


def test_labels_indices_and_support():
    batch = Batch.of(
        IMAGES,
        [0, 1, -1, 0, 1, 0],
        support=(IMAGES[:2], torch.tensor([0, 1])),
        indices=torch.arange(6) + 100,
        modalities={"captions": torch.zeros(6, 3)},
    )
    assert batch.modalities["captions"].shape == (6, 3)
    assert batch.labels.dtype == torch.int64 and batch.labels.tolist() == [0, 1, -1, 0, 1, 0]
    assert batch.indices.tolist() == [100, 101, 102, 103, 104, 105]
    assert (
        batch.support is not None
        and batch.support.labels.tolist() == [0, 1]
        and batch.support.size == 2
    )


def test_floating_point_becomes_the_nearest_level():
    assert torch.equal(Batch.of(IMAGES / 255).pixels.images, IMAGES)
    assert torch.equal(Batch.of((IMAGES / 255).double()).pixels.images, IMAGES)


@pytest.mark.parametrize(("height", "width"), [(10, 20), (20, 10)])
def test_images_that_are_not_square_are_squeezed_and_keep_their_aspect(height, width):
    images = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    pixels = Batch.of(images).pixels
    assert pixels.images.shape == (2, 3, 20, 20)
    assert pixels.aspect.tolist() == [width / height] * 2
    expected = Image.fromarray(images[1].permute(1, 2, 0).numpy()).resize(
        (20, 20), Image.Resampling.BILINEAR
    )
    assert (
        np.abs(pixels.images[1].permute(1, 2, 0).numpy().astype(int) - np.asarray(expected)).max()
        <= 1
    )


@pytest.mark.parametrize(("images", "options", "value"), [
    (IMAGES[0], {}, r"\[3, 8, 8\]"), (IMAGES[:0], {}, r"\[0, 3, 8, 8\]"), (IMAGES.int(), {}, "int32"),
    (IMAGES.float(), {}, "255"), (IMAGES / 255 - 0.5, {}, "-0.5"), (IMAGES, {"labels": [0, 1]}, "labels"),
    (IMAGES.numpy(), {}, "ndarray"), (IMAGES.permute(0, 2, 3, 1), {}, r"8, 8, 3.*permute"),
    (IMAGES * torch.nan, {}, "nan"),
    (IMAGES, {"labels": torch.full((len(IMAGES),), 0.5)}, "labels"),
    (IMAGES, {"labels": torch.full((len(IMAGES),), torch.nan)}, "labels"),
    (IMAGES, {"indices": torch.arange(5)}, "indices"), (IMAGES, {"support": (IMAGES[:2], [0])}, "labels"),
])  # fmt: skip
def test_what_does_not_fit_is_an_error_that_names_it(images, options, value):
    with pytest.raises(LikewiseError, match=value):
        Batch.of(images, **options)


def test_microbatches_are_dealt_with_a_stride():
    batch = Batch.of(IMAGES, range(6), support=(IMAGES[:1], [0]))
    first, second = batch.microbatches(2)
    assert first.labels.tolist() == [0, 2, 4] and second.labels.tolist() == [1, 3, 5]
    assert first.row_slice == RowSlice(0, 2, 6) and second.row_slice == RowSlice(1, 2, 6)
    assert first.support is not None and second.support is None
