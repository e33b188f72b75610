"""Segmentation by a linear classifier on a frozen map: do the places of an image tell what they show?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from likewise.data.batch import Pixels
from likewise.data.columns.masks import NOTHING, Masks
from likewise.encoders import Encoder
from likewise.encoders.locations import as_places, dense_map, dense_stage, read_at
from likewise.errors import LikewiseError
from likewise.evaluation.features import PixelReader, eval_mode
from likewise.evaluation.metrics.linear_probe import FittedProbe, LinearProbe
from likewise.evaluation.statistics.confidence import bootstrap
from likewise.evaluation.statistics.scores import Features, Score, ScoreDifference
from likewise.randomness import generator
from likewise.views.image.crop import centre_boxes
from likewise.views.image.making import make_view
from likewise.views.image.view_params import ViewParams

SHOWN = 6
"""Test images whose prediction is kept for pictures."""


class SceneImages(NamedTuple):
    """Images and the class of each of their pixels."""

    images: PixelReader
    masks: Masks


class Segmentation(NamedTuple):
    """How well the places of several encoders tell what they show; the first is the one in question."""

    scores: dict[str, list[Score]]
    """by encoder: linear_miou and linear_pixel_accuracy"""
    gains: list[ScoreDifference]
    """the first encoder against each of the others"""
    per_class: dict[str, dict[str, float]]
    """by encoder and class name: intersection over union"""
    shown: Tensor
    """int64 [n], the test images that a page shows"""
    predictions: list[np.ndarray]
    """of those by the first encoder, int16 [H, W] each, in the size of their masks"""


class SampledPixels(NamedTuple):
    """Pixels drawn from training masks."""

    rows: Tensor
    """int64 [R], the images that they are from"""
    places: Tensor
    """float32 [R, P, 2]: x and y of each pixel's centre in the image's [-1, 1] plane"""
    labels: Tensor
    """int64 [R, P]"""


@dataclass(frozen=True)
class SegmentationProbe:
    """Per-pixel multinomial logistic regression on a frozen map, and the mean intersection over union that it reaches.

    The encoder sees each image whole, squeezed into its square, so that no part of a scene goes unscored. The map is
    enlarged bilinearly (``align_corners=False``) to the size of the mask, where classes are told and compared; a linear
    classifier gives the same whether features or its answers are enlarged. It learns from pixels drawn evenly from the
    training masks. Void pixels are neither drawn nor counted.

    The mean is over the classes that the test masks show; each counts the same. The interval is a bootstrap over test
    images, whose pixels are not independent of each other.
    """

    pixels: int = 20_000
    """training pixels, the same number of each training image"""
    images: int = 4_000
    """training images at most"""
    stage: int | None = None
    """which of the encoder's maps, counted from 1; None: the deepest of at least 7 x 7"""
    batch_size: int = 64
    """images encoded at a time"""
    seed: int = 0
    """of the pixels drawn and of the bootstrap"""

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
            train: to learn from.
            test: to measure on.
            size: side of the square that the encoders see.
            device: where the encoders compute.

        Raises:
            LikewiseError: no training pixel or no test pixel has a class, or all training pixels have one.
        """
        points, rows = self._draw(train.masks), torch.from_numpy(test.masks.known())
        shown = rows[torch.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).round().long()]
        classes = 1 + max([int(points.labels.max()), *(int(test.masks.read(row).max()) for row in rows.tolist())])
        tables, protocols, predictions = {}, {}, list[np.ndarray]()
        for who, encoder in encoders.items():
            with eval_mode(encoder.to(device)):
                probe = self._fit(encoder, train, points, size, device)
                predicted = self._predict(encoder, probe, test, rows, size, device)
                tables[who] = torch.stack([confusion(each, test.masks.read(row), classes) for row, each in predicted])
                protocols[who] = self._protocol(encoder, probe, points, size, test.masks.ignore_index)
                if len(tables) == 1:
                    predictions = [each for _, each in self._predict(encoder, probe, test, shown, size, device)]
        return self._measured(tables, protocols, test.masks, shown, predictions)

    def _draw(self, masks: Masks) -> SampledPixels:
        """As many pixels of each training mask as are wanted in all, with a class each; a function of the seed."""
        known = torch.from_numpy(masks.known())
        order = torch.randperm(len(known), generator=generator(self.seed, "masks"))[: self.images].sort().values
        each = max(self.pixels // max(len(order), 1), 1)
        rows, places, labels = [], [], []
        for row in known[order].tolist():
            mask = torch.from_numpy(masks.read(row))
            down, across = (mask != NOTHING).nonzero(as_tuple=True)
            if len(down):
                drawn = torch.randint(len(down), (each,), generator=generator(self.seed, "pixels", row))
                y, x = down[drawn], across[drawn]
                rows.append(row)
                places.append(torch.stack([(2 * x + 1) / mask.shape[1] - 1, (2 * y + 1) / mask.shape[0] - 1], dim=1))
                labels.append(mask[y, x].long())
        if not rows:
            raise LikewiseError("No pixel of the training masks belongs to a class: all are ignore_index.")
        return SampledPixels(torch.tensor(rows), torch.stack(places), torch.stack(labels))

    def _fit(
        self, encoder: Encoder, train: SceneImages, points: SampledPixels, size: int, device: torch.device | str
    ) -> FittedProbe:
        batches = zip(*(part.split(self.batch_size) for part in (points.rows, points.places)), strict=True)
        vectors = [read_at(self._map(encoder, train.images.read(rows), size, device), at) for rows, at in batches]
        return LinearProbe(seed=self.seed).fit(Features(torch.cat(vectors).flatten(0, 1), points.labels.flatten()))

    def _predict(
        self,
        encoder: Encoder,
        probe: FittedProbe,
        test: SceneImages,
        rows: Tensor,
        size: int,
        device: torch.device | str,
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Each test image's position, and its predicted classes int16 [H, W]."""
        for some in rows.split(self.batch_size):
            features = self._map(encoder, test.images.read(some), size, device)
            answers = probe.logits(as_places(features).flatten(0, 1)).unflatten(0, (len(some), *features.shape[2:]))
            for row, answer in zip(some.tolist(), answers.permute(0, 3, 1, 2), strict=True):
                width, height = test.masks.size(row)
                best = interpolate(answer[None], (height, width), mode="bilinear", align_corners=False).argmax(dim=1)
                yield row, probe.classes[best[0]].numpy().astype(np.int16)

    @torch.no_grad()
    def _map(self, encoder: Encoder, pixels: Pixels, size: int, device: torch.device | str) -> Tensor:
        """The map of whole images, float32 [B, D, s, s] on the CPU."""
        _, maps = encoder.forward_with_maps(whole(pixels, size).to(device))
        return dense_map(maps, self.stage).float().cpu()

    def _protocol(
        self, encoder: Encoder, probe: FittedProbe, points: SampledPixels, size: int, ignore_index: int
    ) -> dict[str, Any]:
        sides = [side for _, side in encoder.map_shapes(size)]
        stage = dense_stage(sides, self.stage)
        chosen = {key: probe.protocol[key] for key in ("strength", "strength_chosen", "seed")}
        return {
            "map": f"{stage} of {len(sides)}, {sides[stage - 1]} x {sides[stage - 1]}",
            "image": f"whole, squeezed to {size} x {size}",
            "enlarged": "bilinearly to the mask's size, align_corners=False",
            "training_pixels": points.labels.numel(),
            "training_images": len(points.rows),
            "ignore_index": ignore_index,
            **chosen,
        }

    def _measured(
        self,
        tables: dict[str, Tensor],
        protocols: dict[str, dict[str, Any]],
        masks: Masks,
        shown: Tensor,
        predictions: list[np.ndarray],
    ) -> Segmentation:
        first, *others = tables
        if not bool(tables[first].sum() > 0):
            raise LikewiseError("No pixel of the test masks belongs to a class: all are ignore_index.")
        measures = {"linear_miou": mean_iou, "linear_pixel_accuracy": pixel_accuracy}
        scores = {
            who: [
                Score(name, *bootstrap(table, measure, self.seed), len(table), protocols[who] | {"interval": BOOT})
                for name, measure in measures.items()
            ]
            for who, table in tables.items()
        }
        gains = [
            ScoreDifference(
                name, other, *bootstrap(torch.stack([tables[first], tables[other]], 1), _more(measure), self.seed)
            )
            for other in others
            for name, measure in measures.items()
        ]
        per_class = {
            who: {masks.name(c): float(iou) for c, iou in enumerate(ious(table.sum(dim=0))) if not iou.isnan()}
            for who, table in tables.items()
        }
        return Segmentation(scores, gains, per_class, shown, predictions)


BOOT = "bootstrap over test images, 1,000 draws, percentiles, 95 %"


def _more(measure: Any) -> Any:
    """By how much the first of two tables [..., 2, C, C] does better."""
    return lambda pair: measure(pair[..., 0, :, :]) - measure(pair[..., 1, :, :])


def whole(pixels: Pixels, size: int) -> Tensor:
    """Images with all that they show, float [B, C, size, size] in [0, 1]; what is not square stays squeezed."""
    return make_view(pixels.images, ViewParams(centre_boxes(torch.ones_like(pixels.aspect), 1.0)), size).pixels


def confusion(predicted: np.ndarray, mask: np.ndarray, classes: int) -> Tensor:
    """How many pixels of each class (row) were taken for each (column), [C, C]; ignore_index pixels are left out."""
    counted = mask != NOTHING
    pairs = mask[counted].astype(np.int64) * classes + predicted[counted]
    return torch.from_numpy(np.bincount(pairs, minlength=classes**2)).view(classes, classes)


def ious(table: Tensor) -> Tensor:
    """Intersection over union of each class, [..., C, C] -> [..., C]; NaN for a class that the masks do not show."""
    right, true, said = table.diagonal(dim1=-2, dim2=-1), table.sum(dim=-1), table.sum(dim=-2)
    return torch.where(true > 0, right / (true + said - right), torch.nan)


def mean_iou(table: Tensor) -> Tensor:
    """The mean over the classes that the masks show, [..., C, C] -> [...]."""
    return ious(table).nanmean(dim=-1)


def pixel_accuracy(table: Tensor) -> Tensor:
    """Share of pixels whose class was told, [..., C, C] -> [...]."""
    return table.diagonal(dim1=-2, dim2=-1).sum(dim=-1) / table.sum(dim=(-2, -1))
