"""Segmentation on a frozen map: every number against a loop over pixels."""

import numpy as np
import pytest
import torch
from torch import nn

from likewise.data.batch import Pixels
from likewise.data.columns.masks import Masks
from likewise.data.images import InMemoryImages
from likewise.encoders.encoder import Encoder
from likewise.errors import LikewiseError
from likewise.evaluation.metrics.iou import confusion, ious, mean_iou, pixel_accuracy
from likewise.evaluation.metrics.segmentation import SceneImages, SegmentationProbe, whole
from likewise.evaluation.statistics.bootstrap import bootstrap
from likewise.randomness import generator

CLASSES = 4


class Patches(Encoder):
    """A map of 8 x 8 that holds each patch's colours: a linear classifier can tell colours from it."""

    def __init__(self, blind=False):
        super().__init__(3, (0.0,) * 3, (1.0,) * 3)
        self.blind, self.patch = blind, nn.AdaptiveAvgPool2d(8)

    def stages(self):
        return [self.patch]

    def another_stage(self):
        return nn.Identity()

    def forward_with_maps(self, pixels):
        pooled, maps = super().forward_with_maps(pixels)
        return pooled, [maps[0] * (0 if self.blind else 1) + 0.01 * torch.ones_like(maps[0])]


def scenes(count=12, height=30, width=40, ignore_index=255, name="scenes"):
    """Images in quarters, each of a class with a colour of its own; a ignore_index frame."""
    draw = generator(3, name)
    colours = torch.tensor(
        [[250, 10, 10], [10, 250, 10], [10, 10, 250], [200, 200, 200]], dtype=torch.uint8
    )
    images, masks = torch.empty(count, 3, 32, 32, dtype=torch.uint8), []
    for row in range(count):
        classes = torch.randint(CLASSES, (2, 2), generator=draw)
        mask = (
            classes.repeat_interleave(height // 2, 0)
            .repeat_interleave(width // 2, 1)
            .numpy()
            .astype(np.uint8)
        )
        images[row] = (
            colours[classes].permute(2, 0, 1).repeat_interleave(16, 1).repeat_interleave(16, 2)
        )
        mask[:2], mask[:, -2:] = ignore_index, ignore_index
        masks.append(mask)
    aspect = torch.full((count,), width / height)
    return SceneImages(InMemoryImages(Pixels(images, aspect)), Masks(masks, ignore_index))


def naive_iou(predictions, masks, classes):
    """Intersection over union pixel by pixel, None for a class that no mask shows."""
    found = []
    for c in range(classes):
        both = either = shown = 0
        for predicted, mask in zip(predictions, masks, strict=True):
            for said, true in zip(predicted.ravel().tolist(), mask.ravel().tolist(), strict=True):
                if true != -1:
                    both += said == c and true == c
                    either += said == c or true == c
                    shown += true == c
        found.append(both / either if shown else None)
    return found


def test_scores_equal_a_loop_over_pixels():
    random = np.random.default_rng(0)
    masks = [random.integers(-1, 3, (5, 7)) for _ in range(4)]  # class 3 never occurs
    predictions = [random.integers(0, 4, (5, 7)) for _ in range(4)]
    tables = torch.stack(
        [confusion(p, m, 4).double() for p, m in zip(predictions, masks, strict=True)]
    )
    naive = naive_iou(predictions, masks, 4)
    found = ious(tables.sum(dim=0))
    assert naive[3] is None and found[3].isnan()
    assert found[:3].tolist() == naive[:3]
    assert float(mean_iou(tables.sum(dim=0))) == pytest.approx(sum(naive[:3]) / 3, rel=1e-15)
    right = sum(int(((p == m) & (m != -1)).sum()) for p, m in zip(predictions, masks, strict=True))
    assert float(pixel_accuracy(tables.sum(dim=0))) == right / sum(
        int((m != -1).sum()) for m in masks
    )


def test_sampled_locations_have_their_labels():
    probe, train = SegmentationProbe(pixels=600), scenes()
    points = probe._sample(train.masks)
    assert points.labels.shape == (12, 50) and points.labels.min() >= 0
    for row, locations, labels in zip(*points, strict=True):
        mask = train.masks.read(int(row))
        across, down = ((locations + 1) / 2 * torch.tensor([40, 30])).floor().long().T
        assert labels.tolist() == mask[down, across].tolist()
    assert torch.equal(probe._sample(train.masks).locations, points.locations)


def test_a_map_that_tells_the_classes_beats_one_that_does_not():
    train, test = scenes(30), scenes(12, name="others")
    probe = SegmentationProbe(pixels=3000, batch_size=5)
    found = probe.evaluate(
        {"trained": Patches(), "untrained": Patches(blind=True)}, train, test, 32, "cpu"
    )
    (miou, accuracy), (blind, _) = found.scores["trained"], found.scores["untrained"]
    assert (miou.name, accuracy.name) == ("linear_miou", "linear_pixel_accuracy")
    assert miou.value > 0.8 and blind.value < 0.2
    assert miou.low <= miou.value <= miou.high and miou.count == 12
    gain = found.differences[0]
    assert gain.value == pytest.approx(miou.value - blind.value) and gain.low > 0.5
    assert (gain.name, gain.over) == ("linear_miou", "untrained")
    assert set(found.per_class["trained"]) == {f"class {c}" for c in range(CLASSES)}
    assert np.mean(list(found.per_class["trained"].values())) == pytest.approx(miou.value)
    assert miou.protocol["map"] == "1 of 1, 8 x 8" and miou.protocol["ignore_index"] == 255
    # The predictions that a page shows are those that were scored.
    everyone = SegmentationProbe(pixels=3000, batch_size=12)
    masks = [test.masks.read(i) for i in found.examples.tolist()]
    part = everyone.evaluate(
        {"trained": Patches()},
        train,
        SceneImages(test.images, _only(test.masks, found.examples)),
        32,
        "cpu",
    )
    assert naive_iou(found.predictions, masks, CLASSES) == pytest.approx(
        list(part.per_class["trained"].values())
    )
    assert found.predictions[0].shape == (30, 40)


def _only(masks, rows):
    return Masks(
        [cell if i in rows.tolist() else None for i, cell in enumerate(masks.cells)],
        masks.ignore_index,
    )


def test_void_is_neither_learned_nor_counted():
    """The same with ignore_index pixels of any value, and with images that have no mask among them."""
    probe, encoders = SegmentationProbe(pixels=600), {"trained": Patches()}
    usual = probe.evaluate(encoders, scenes(), scenes(6, name="others"), 32, "cpu")
    other = probe.evaluate(
        encoders, scenes(ignore_index=9), scenes(6, ignore_index=9, name="others"), 32, "cpu"
    )
    assert usual.per_class == other.per_class
    test = scenes(6, name="others")
    fewer = probe.evaluate(
        encoders, scenes(), SceneImages(test.images, _only(test.masks, torch.arange(4))), 32, "cpu"
    )
    assert fewer.scores["trained"][0].count == 4


def test_the_encoder_sees_the_whole_image():
    images = torch.arange(2 * 3 * 16 * 16).view(2, 3, 16, 16).remainder(256).to(torch.uint8)
    shown = whole(Pixels(images, torch.tensor([1.0, 4 / 3])), 16)
    torch.testing.assert_close(shown, images / 255, rtol=0, atol=1e-5)


def test_all_void_is_refused():
    nothing = SceneImages(scenes().images, Masks([np.full((30, 40), 255, np.uint8)] * 12))
    probe, encoders = SegmentationProbe(), {"trained": Patches()}
    with pytest.raises(LikewiseError, match=r"train.*ignore_index"):
        probe.evaluate(encoders, nothing, scenes(), 32, "cpu")
    with pytest.raises(LikewiseError, match=r"test.*ignore_index"):
        probe.evaluate(encoders, scenes(), nothing, 32, "cpu")


def test_the_bootstrap_covers_as_often_as_it_says():
    """Means of images whose truth is known; 200 studies of 80 images."""
    covered = 0
    for study in range(200):
        table = (torch.rand(80, 1, generator=generator(study, "study")) < 0.3).double()
        interval = bootstrap(table, lambda sums: sums[..., 0] / 80, seed=study)
        covered += interval.low <= 0.3 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_the_bootstrap_draws_images_and_not_pixels():
    """Two images of many pixels, one all right and one all wrong: nothing is known."""
    tables = torch.tensor([[[900.0, 0], [0, 900]], [[0, 900], [900, 0]]])
    interval = bootstrap(tables, pixel_accuracy)
    assert (interval.value, interval.low, interval.high) == (0.5, 0, 1)
