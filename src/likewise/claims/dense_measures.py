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
from likewise.data.batch import UNLABELLED, Batch
from likewise.data.splits import Split
from likewise.encoders import Encoder
from likewise.encoders.locations import all_locations
from likewise.errors import LikewiseError
from likewise.evaluation.features import frozen
from likewise.evaluation.metrics.object_pairs import same_object_auc
from likewise.evaluation.metrics.segmentation import SceneImages, SegmentationProbe, whole
from likewise.losses.matched_sets import Matcher
from likewise.methods import Progress
from likewise.methods.flow_similarity import FlowSimilarity
from likewise.methods.setsim import MatchedViews, SetSim
from likewise.randomness import generator


@dataclass(frozen=True)
class Segmented:
    """A linear classifier for each pixel on the frozen map: ``linear_miou`` and ``linear_pixel_accuracy``."""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Mean intersection over union, and the share of pixels told, on the test images."""
        prepared = trained.prepared
        train, test = (_scenes(prepared.splits[name]) for name in ("train", "test"))
        probe, size = SegmentationProbe(seed=prepared.settings.seed), prepared.encoder.image_size
        encoder = cast(Encoder, trained.nets.encoder)
        found = probe.evaluate({"trained": encoder}, train, test, size, trained.device)
        return {score.name: score.value for score in found.scores["trained"]}


@dataclass(frozen=True)
class MatchedOnObjects:
    """How often matched places show one object: ``matched_by_attention`` and ``matched_by_nearest``.

    The share of pairs whose two centres lie on the same class other than 0, the background.
    """

    images: int = 500
    """test images that are matched, two views each"""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Of the encoder's own maps, matched by attention and cosine alone, and by the nearest place of every place."""
        method = trained.prepared.method
        assert isinstance(method, SetSim)
        matchers = {"attention": Matcher(nearest=False), "nearest": Matcher(attention=False)}
        return {f"matched_by_{name}": self._share(trained, method, matcher) for name, matcher in matchers.items()}

    @torch.no_grad()
    def _share(self, trained: TrainedArm, method: SetSim, matcher: Matcher) -> float:
        test, method = trained.test, dataclasses.replace(method, matcher=matcher)
        masks = _scenes(test).masks
        rows = torch.arange(min(self.images, len(test.images)))
        batch = Batch(test.images.read(rows), torch.full_like(rows, UNLABELLED), rows).to(trained.device)
        with frozen(trained.nets):
            matched = method.match_views(trained.nets, batch, Progress(0, 1, trained.prepared.settings.seed))
        return share_on_one_object(matched, [masks.read(row) for row in rows.tolist()])


@dataclass(frozen=True)
class SameObject:
    """Whether pixels of one object are more alike to the method than an object's and the background's.

    ``same_object_auc``: the mean over test images of `likewise.evaluation.metrics.object_pairs.same_object_auc`.
    """

    images: int = 500
    """test images at most"""
    places: int = 256
    """pixels of each, drawn evenly"""

    @torch.no_grad()
    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Of the embeddings that the method makes of pixels, which are more than its encoder's maps."""
        method, test = trained.prepared.method, trained.test
        assert isinstance(method, FlowSimilarity)
        rows, masks = torch.arange(min(self.images, len(test.images))), _scenes(test).masks
        places = torch.rand(len(rows), self.places, 2, generator=generator(0, "places")) * 2 - 1
        whole_view = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        shown = [classes_at(whole_view, at, masks.read(row)) for row, at in zip(rows.tolist(), places, strict=True)]
        areas = []
        with frozen(trained.nets):
            for some in rows.split(64):
                pixels = whole(test.images.read(some), trained.prepared.encoder.image_size).to(trained.device)
                embeddings = method.embeddings(trained.nets, pixels, places[some].to(trained.device))
                areas.append(same_object_auc(embeddings, torch.stack([shown[row] for row in some.tolist()])))
        return {"same_object_auc": float(torch.cat(areas).nanmean())}


def share_on_one_object(matched: MatchedViews, masks: list[np.ndarray]) -> float:
    """The share of pairs whose two centres lie on the same class above 0; 0 where there is no pair.

    Args:
        matched: two views of B images, and their pairs.
        masks: B of them, int16 [H, W].
    """
    centres = all_locations(round(matched.pairs.shape[1] ** 0.5))
    shown = [
        torch.stack([classes_at(box, centres, mask) for box, mask in zip(view.box.cpu(), masks, strict=True)])
        for view in (matched.first, matched.second)
    ]  # [B, U] each
    same = (shown[0][:, :, None] == shown[1][:, None, :]) & (shown[0] > 0)[:, :, None]
    pairs = matched.pairs.cpu()
    return float((same & pairs).sum() / pairs.sum().clamp(min=1))


def classes_at(box: Tensor, places: Tensor, mask: np.ndarray) -> Tensor:
    """What a mask [H, W] shows at places [P, 2] of a view's [-1, 1] plane, int64 [P].

    Args:
        box: float [2, 3], from the view's plane to the image's; it turns nothing.
        places: to the right and down.
        mask: of the whole image.
    """
    (across, _, left), (_, down, top) = box.tolist()
    height, width = mask.shape
    x = ((across * places[:, 0] + left + 1) / 2 * width).long().clamp(0, width - 1)
    y = ((down * places[:, 1] + top + 1) / 2 * height).long().clamp(0, height - 1)
    return torch.from_numpy(mask.astype(np.int64))[y, x]


def _scenes(split: Split) -> SceneImages:
    if split.manifest.masks is None:
        raise LikewiseError("A claim about dense learning needs data with masks, for instance fashion-scenes.")
    return SceneImages(split.images, split.manifest.masks)
