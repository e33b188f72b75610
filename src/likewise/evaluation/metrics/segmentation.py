"""Semantic segmentation by a linear pixel classifier on a frozen feature map: mean IoU and pixel accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from likewise.data.batch import Pixels
from likewise.data.columns.masks import NOTHING, Masks
from likewise.data.even_sample import evenly_spaced
from likewise.encoders import Encoder
from likewise.encoders.locations import dense_map, dense_stage, flatten_locations, sample_features
from likewise.errors import LikewiseError
from likewise.evaluation.features import PixelReader, eval_mode
from likewise.evaluation.metrics.iou import confusion, mean_iou, named_ious, pixel_accuracy
from likewise.evaluation.metrics.linear_probe import FittedProbe, LinearProbe
from likewise.evaluation.statistics.bootstrap import bootstrap
from likewise.evaluation.statistics.scores import Features, Score, ScoreDifference
from likewise.randomness import generator
from likewise.views.image.crop import centre_boxes
from likewise.views.image.making import make_view
from likewise.views.image.view_params import ViewParams

EXAMPLES = 6
"""test images whose predictions are stored for pictures"""

INTERVAL = "bootstrap over test images, 1,000 draws, percentiles, 95%"


class SceneImages(NamedTuple):
    """Images and the class of each of their pixels."""

    images: PixelReader
    masks: Masks


class Segmentation(NamedTuple):
    """Segmentation scores of several encoders; the first is the one in question."""

    scores: dict[str, list[Score]]
    """by encoder: linear_miou and linear_pixel_accuracy"""
    differences: list[ScoreDifference]
    """the first encoder against each of the others"""
    per_class: dict[str, dict[str, float]]
    """by encoder and class name: intersection over union"""
    examples: Tensor
    """int64 [n], positions of a few test images"""
    predictions: list[np.ndarray]
    """the first encoder's predictions for those, int16 [H, W] each, of the size of their masks"""


class SampledPixels(NamedTuple):
    """Pixels sampled from training masks."""

    rows: Tensor
    """int64 [R], the images of the pixels"""
    locations: Tensor
    """float32 [R, P, 2]: x and y of each pixel's centre in the image's [-1, 1] plane"""
    labels: Tensor
    """int64 [R, P], their classes"""


@dataclass(frozen=True)
class DenseEncoder:
    """An encoder whose map of whole images is classified location by location."""

    network: Encoder
    size: int
    """pixels along a side of its input"""
    stage: int | None
    """which of its maps, counted from 1; None: the deepest of at least 7 x 7"""
    device: torch.device | str

    @torch.no_grad()
    def map(self, pixels: Pixels) -> Tensor:
        """The map of whole images, float32 [B, D, s, s] on the CPU."""
        _, maps = self.network.forward_with_maps(whole(pixels, self.size).to(self.device))
        return dense_map(maps, self.stage).float().cpu()

    def protocol(self) -> dict[str, str]:
        """Which map, of which images."""
        sides = [side for _, side in self.network.map_shapes(self.size)]
        stage = dense_stage(sides, self.stage)
        return {
            "map": f"{stage} of {len(sides)}, {sides[stage - 1]} x {sides[stage - 1]}",
            "image": f"whole, resized to {self.size} x {self.size}",
        }


class _OfEncoder(NamedTuple):
    """What the classifier of one encoder's map was measured to be."""

    confusions: Tensor
    """int64 [N, C, C] of the test images"""
    protocol: dict[str, Any]


@dataclass(frozen=True)
class SegmentationProbe:
    """Mean intersection over union of per-pixel multinomial logistic regression on a frozen map.

    The encoder sees each whole image, resized to a square, so that every part of a scene is scored. The logits are
    resized bilinearly (``align_corners=False``) to the size of the mask, where they are compared with it; for a linear
    classifier that equals resizing the features. It is fitted on pixels sampled uniformly from the training masks.
    Pixels with ``ignore_index`` are neither sampled nor counted.

    The mean is over the classes in the test masks; each counts the same. The interval is a bootstrap over test images,
    since the pixels of one image are not independent.
    """

    pixels: int = 20_000
    """training pixels in all, the same number from each training image"""
    images: int = 4_000
    """training images at most"""
    stage: int | None = None
    """which of the encoder's maps, counted from 1; None: the deepest of at least 7 x 7"""
    batch_size: int = 64
    """images encoded at a time"""
    seed: int = 0
    """of the sampled pixels and of the bootstrap"""

    def evaluate(
        self,
        encoders: Mapping[str, Encoder],
        train: SceneImages,
        test: SceneImages,
        size: int,
        device: torch.device | str,
    ) -> Segmentation:
        """Scores of encoders by name on the test images that have a mask; the first is the one in question.

        Args:
            encoders: by name.
            train: to fit on.
            test: to measure on.
            size: pixels along a side of the encoders' input.
            device: where the encoders compute.

        Raises:
            LikewiseError: no training pixel or no test pixel has a class, or all training pixels have one.
        """
        sampled = self._sample(train.masks)
        rows = torch.from_numpy(test.masks.known())
        examples = rows[torch.from_numpy(evenly_spaced(len(rows), EXAMPLES))]
        largest = max(int(test.masks.read(row).max()) for row in rows.tolist())
        classes = 1 + max(int(sampled.labels.max()), largest)
        found = dict[str, _OfEncoder]()
        predictions = list[np.ndarray]()
        for who, encoder in encoders.items():
            with eval_mode(encoder.to(device)):
                dense = DenseEncoder(encoder, size, self.stage, device)
                probe = self._fit(dense, train, sampled)
                confusions = []
                for row, prediction in self._predict(dense, probe, test, rows):
                    confusions.append(confusion(prediction, test.masks.read(row), classes))
                protocol = _protocol(dense, probe, sampled, test.masks.ignore_index)
                found[who] = _OfEncoder(torch.stack(confusions), protocol)
                if len(found) == 1:
                    of_examples = self._predict(dense, probe, test, examples)
                    predictions = [prediction for _, prediction in of_examples]
        return self._measured(found, test.masks, examples, predictions)

    def _sample(self, masks: Masks) -> SampledPixels:
        """The same number of pixels from each training mask, with their classes; a function of the seed."""
        known = torch.from_numpy(masks.known())
        order = torch.randperm(len(known), generator=generator(self.seed, "masks"))
        chosen = order[: self.images].sort().values
        count = max(self.pixels // max(len(chosen), 1), 1)
        rows, locations, labels = [], [], []
        for row in known[chosen].tolist():
            mask = torch.from_numpy(masks.read(row))
            down, across = (mask != NOTHING).nonzero(as_tuple=True)
            if len(down):
                rng = generator(self.seed, "pixels", row)
                drawn = torch.randint(len(down), (count,), generator=rng)
                y = down[drawn]
                x = across[drawn]
                rows.append(row)
                locations.append(_in_plane(x, y, *mask.shape))  # [P, 2]
                labels.append(mask[y, x].long())
        if not rows:
            raise LikewiseError(
                "No pixel of the training masks belongs to a class: all are ignore_index."
            )
        return SampledPixels(torch.tensor(rows), torch.stack(locations), torch.stack(labels))

    def _fit(
        self, encoder: DenseEncoder, train: SceneImages, sampled: SampledPixels
    ) -> FittedProbe:
        vectors = []
        for start in range(0, len(sampled.rows), self.batch_size):
            batch = slice(start, start + self.batch_size)
            maps = encoder.map(train.images.read(sampled.rows[batch]))
            vectors.append(sample_features(maps, sampled.locations[batch]))  # [B, P, D]
        pixels = Features(torch.cat(vectors).flatten(0, 1), sampled.labels.flatten())
        return LinearProbe(seed=self.seed).fit(pixels)

    def _predict(
        self, encoder: DenseEncoder, probe: FittedProbe, test: SceneImages, rows: Tensor
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Each test image's position, and its predicted classes int16 [H, W]."""
        for batch in rows.split(self.batch_size):
            features = encoder.map(test.images.read(batch))  # [B, D, s, s]
            logits = probe.logits(flatten_locations(features).flatten(0, 1))  # [B * s * s, C]
            logits = logits.unflatten(0, (len(batch), *features.shape[2:]))  # [B, s, s, C]
            logits = logits.permute(0, 3, 1, 2)
            for row, of_image in zip(batch.tolist(), logits, strict=True):
                width, height = test.masks.size(row)
                full = interpolate(
                    of_image[None], (height, width), mode="bilinear", align_corners=False
                )
                column = full.argmax(dim=1)[0]  # [H, W]
                yield row, probe.classes[column].numpy().astype(np.int16)

    def _measured(
        self,
        found: Mapping[str, _OfEncoder],
        masks: Masks,
        examples: Tensor,
        predictions: list[np.ndarray],
    ) -> Segmentation:
        first, *others = found
        of_first = found[first].confusions
        if not bool(of_first.sum() > 0):
            raise LikewiseError(
                "No pixel of the test masks belongs to a class: all are ignore_index."
            )
        scores = {who: self._scores(each) for who, each in found.items()}
        differences = []
        for other in others:
            differences += self._differences(of_first, found[other].confusions, other)
        per_class = {}
        for who, each in found.items():
            per_class[who] = named_ious(masks, each.confusions.sum(dim=0))
        return Segmentation(scores, differences, per_class, examples, predictions)

    def _scores(self, found: _OfEncoder) -> list[Score]:
        protocol = found.protocol | {"interval": INTERVAL}
        scores = []
        for name, measure in MEASURES.items():
            interval = bootstrap(found.confusions, measure, self.seed)
            scores.append(Score(name, *interval, len(found.confusions), protocol))
        return scores

    def _differences(self, first: Tensor, second: Tensor, other: str) -> Iterator[ScoreDifference]:
        """Paired differences of two encoders, from their tables [N, C, C]."""
        both = torch.stack([first, second], dim=1)  # [N, 2, C, C]
        for name, measure in MEASURES.items():
            interval = bootstrap(both, partial(_difference, measure), self.seed)
            yield ScoreDifference(name, other, *interval)


def _in_plane(x: Tensor, y: Tensor, height: int, width: int) -> Tensor:
    """Centres of pixels in the plane [-1, 1], as grid_sample with align_corners=False has them: float [P, 2]."""
    across = (2 * x + 1) / width - 1
    down = (2 * y + 1) / height - 1
    return torch.stack([across, down], dim=1)


def _difference(measure: Callable[[Tensor], Tensor], pair: Tensor) -> Tensor:
    """The measure of the first of two tables [..., 2, C, C] minus that of the second."""
    first, second = pair.unbind(-3)
    return measure(first) - measure(second)


def whole(pixels: Pixels, size: int) -> Tensor:
    """Whole images resized to a square, whatever their aspect, float [B, C, size, size] in [0, 1]."""
    as_if_square = torch.ones_like(pixels.aspect)
    box = centre_boxes(as_if_square, share=1.0)
    return make_view(pixels.images, ViewParams(box), size).pixels


def _protocol(
    encoder: DenseEncoder, probe: FittedProbe, sampled: SampledPixels, ignore_index: int
) -> dict[str, Any]:
    chosen = {key: probe.protocol[key] for key in ("strength", "strength_chosen", "seed")}
    return {
        **encoder.protocol(),
        "resized": "logits bilinearly to the mask's size, align_corners=False",
        "training_pixels": sampled.labels.numel(),
        "training_images": len(sampled.rows),
        "ignore_index": ignore_index,
        **chosen,
    }


MEASURES = {"linear_miou": mean_iou, "linear_pixel_accuracy": pixel_accuracy}
"""By the score's name."""
