"""What a claim about dense learning asks of a trained encoder, on test images with masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from likewise.claims.measures import TrainedArm
from likewise.claims.object_pairs import same_object_auc
from likewise.data.batch import UNLABELLED, Batch
from likewise.data.splits import Split
from likewise.encoders import Encoder
from likewise.encoders.locations import all_locations
from likewise.errors import LikewiseError
from likewise.evaluation.features import eval_mode
from likewise.evaluation.metrics.segmentation import SceneImages, SegmentationProbe, whole
from likewise.losses.matched_sets import Matcher
from likewise.methods import Progress
from likewise.methods.flow_similarity import FlowSimilarity
from likewise.methods.setsim import MatchedViews, SetSim
from likewise.randomness import generator
from likewise.views.view import View


@dataclass(frozen=True)
class PixelClassifier:
    """A linear classifier for each pixel on the frozen map: ``linear_miou`` and ``linear_pixel_accuracy``."""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Mean intersection over union and pixel accuracy on the test images."""
        prepared = trained.prepared
        train, test = (_scenes(prepared.splits[name]) for name in ("train", "test"))
        probe, size = SegmentationProbe(seed=prepared.settings.seed), prepared.encoder.image_size
        encoder = cast(Encoder, trained.nets.encoder)
        found = probe.evaluate({"trained": encoder}, train, test, size, trained.device)
        return {score.name: score.value for score in found.scores["trained"]}


@dataclass(frozen=True)
class MatchPrecision:
    """How often matched locations show one object: ``matched_by_attention`` and ``matched_by_nearest``.

    The share of pairs whose two centres lie on the same class other than 0, the background.
    """

    images: int = 500
    """test images, two views each"""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """On the encoder's own maps: by attention and cosine, and by each location's nearest one."""
        method = trained.prepared.method
        assert isinstance(method, SetSim)
        matchers = {"attention": Matcher(nearest=False), "nearest": Matcher(attention=False)}
        shares: dict[str, float] = {}
        for name, matcher in matchers.items():
            shares[f"matched_by_{name}"] = self._share(trained, method, matcher)
        return shares

    @torch.no_grad()
    def _share(self, trained: TrainedArm, method: SetSim, matcher: Matcher) -> float:
        test, method = trained.test, dataclasses.replace(method, matcher=matcher)
        masks = _scenes(test).masks
        rows = torch.arange(min(self.images, len(test.images)))
        unlabelled = torch.full_like(rows, UNLABELLED)
        batch = Batch(test.images.read(rows), unlabelled, rows).to(trained.device)
        progress = Progress(0, 1, trained.prepared.settings.seed)
        with eval_mode(trained.nets):
            matched = method.match_views(trained.nets, batch, progress)
        return share_on_one_object(matched, [masks.read(row) for row in rows.tolist()])


@dataclass(frozen=True)
class SameObject:
    """Whether pixels of one object are more similar than pixels of an object and of the background.

    ``same_object_auc``: the mean over test images of `likewise.claims.object_pairs.same_object_auc`.
    """

    images: int = 500
    """test images at most"""
    pixels: int = 256
    """pixels sampled uniformly from each"""

    @torch.no_grad()
    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """On the method's pixel embeddings, which are more than its encoder's maps."""
        method, test = trained.prepared.method, trained.test
        assert isinstance(method, FlowSimilarity)
        rows = torch.arange(min(self.images, len(test.images)))
        random = generator(0, "places")
        locations = torch.rand(len(rows), self.pixels, 2, generator=random) * 2 - 1  # [N, P, 2]
        objects = self._objects(_scenes(test), locations)  # [N, P]
        size, device = trained.prepared.encoder.image_size, trained.device
        areas = []
        with eval_mode(trained.nets):
            for some in rows.split(64):
                pixels = whole(test.images.read(some), size).to(device)
                embeddings = method.embeddings(trained.nets, pixels, locations[some].to(device))
                areas.append(same_object_auc(embeddings, objects[some]))
        return {"same_object_auc": float(torch.cat(areas).nanmean())}

    def _objects(self, scenes: SceneImages, locations: Tensor) -> Tensor:
        """The object of each location [N, P, 2] of the first N images, int64 [N, P]; 0 is background."""
        whole_view = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        objects: list[Tensor] = []
        for row, of_image in enumerate(locations):
            objects.append(classes_at(whole_view, of_image, scenes.masks.read(row)))
        return torch.stack(objects)


def share_on_one_object(matched: MatchedViews, masks: list[np.ndarray]) -> float:
    """The share of pairs whose two centres lie on the same class above 0; 0 where there is no pair.

    Args:
        matched: two views of B images, and their pairs.
        masks: B of them, int16 [H, W].
    """
    centres = all_locations(round(matched.pairs.shape[1] ** 0.5))
    first = _classes_of_view(matched.first, centres, masks)[:, :, None]  # [B, U, 1]
    second = _classes_of_view(matched.second, centres, masks)[:, None, :]  # [B, 1, U]
    on_one_object = (first == second) & (first > 0)  # [B, U, U]
    pairs = matched.pairs.cpu()
    return float((on_one_object & pairs).sum() / pairs.sum().clamp(min=1))


def _classes_of_view(view: View, locations: Tensor, masks: list[np.ndarray]) -> Tensor:
    """The masks' classes at the same locations [U, 2] of every image's view, int64 [B, U]."""
    boxes = zip(view.box.cpu(), masks, strict=True)
    return torch.stack([classes_at(box, locations, mask) for box, mask in boxes])


def classes_at(box: Tensor, locations: Tensor, mask: np.ndarray) -> Tensor:
    """The classes of a mask [H, W] at locations [P, 2] of a view's [-1, 1] plane, int64 [P].

    Args:
        box: float [2, 3], from the view's plane to the image's, without rotation.
        locations: x to the right, y down.
        mask: of the whole image.
    """
    (across, _, left), (_, down, top) = box.tolist()
    height, width = mask.shape
    x = _pixel(across * locations[:, 0] + left, width)
    y = _pixel(down * locations[:, 1] + top, height)
    return torch.from_numpy(mask.astype(np.int64))[y, x]


def _pixel(coordinates: Tensor, side: int) -> Tensor:
    """Indices of the pixels that lie at coordinates in [-1, 1] of a side."""
    return ((coordinates + 1) / 2 * side).long().clamp(0, side - 1)


def _scenes(split: Split) -> SceneImages:
    if split.manifest.masks is None:
        raise LikewiseError(
            "A claim about dense learning needs data with masks, for instance fashion-scenes."
        )
    return SceneImages(split.images, split.manifest.masks)
