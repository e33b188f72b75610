"""SetSim: MoCo of the whole image, and of the sets of locations that two views have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.encoders.locations import dense_map, dense_stage, flatten_locations
from likewise.errors import LikewiseError
from likewise.heads import location_mlp, mlp
from likewise.losses import queue_nce, set_similarity
from likewise.losses.float32 import unit
from likewise.losses.matched_sets import Matcher
from likewise.memory import Queue, ema_update, make_ema_copy
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std
from likewise.methods.recipe import Recipe
from likewise.views.policies import moco_v2
from likewise.views.view import View
from likewise.views.view_policy import ViewPolicy


class MatchedViews(NamedTuple):
    """Two views of B images, and bool [B, U, V]: which locations, row by row, the method matches."""

    first: View
    second: View
    pairs: Tensor


CODE = "train_pretrain.sh lines 2-23 of https://github.com/DerrickWang005/SetSim.pytorch (commit 6a439e2)"
RECIPE = Recipe(
    "sgd", learning_rate=0.06, weight_decay=1e-4, warm_up=0.0, exclude_bias_and_norm=False
)
"""Their script says 0.06 at a batch of 512, which its program multiplies by two."""
LONG = {"momentum": 0.999, "queue": 65536, "hidden": 2048, "map_size": 7}
"""What the authors set for a run of 200 epochs on ImageNet."""

PRESETS = {
    "small": Preset(
        "scenes of 64 px",
        "ours: the paper has none; a faster teacher, a shorter queue and maps of 8 x 8",
        Recipe("sgd", learning_rate=0.06, weight_decay=1e-4),
        batch_size=256,
        epochs=200,
    ),
    "middle": Preset(
        "scenes of 96 to 128 px",
        "ours: ImageNet's recipe with a faster teacher and a shorter queue",
        Recipe("sgd", learning_rate=0.06, weight_decay=1e-4),
        batch_size=256,
        epochs=200,
        settings={"queue": 16384},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        f"Sec. 3 and Fig. 2 for the matcher, attention and nearest neighbours; the rest {CODE}",
        RECIPE,
        batch_size=512,
        epochs=200,
        settings=LONG,
        image_size=224,
    ),
    "imagenet-official": Preset(
        "ImageNet, 224 px, ResNet-50",
        f"the command in {CODE}, which matches by attention and geometry",
        RECIPE,
        batch_size=512,
        epochs=200,
        settings={**LONG, "matcher": Matcher(nearest=False, geometry=True)},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class SetSim(Method):
    """Wang et al. 2021, Sec. 3, https://arxiv.org/abs/2107.08712.

    Locations are cells of one of the encoder's maps. Matching uses the maps themselves, the loss their projections.
    Batch-norm statistics span the global batch, so there is no per-device batch to shuffle.
    """

    card = Card(
        title="SetSim",
        paper="Wang et al. 2021, https://arxiv.org/abs/2107.08712",
        needs="no labels",
        idea="Contrasts sets of matching locations as well as whole images.",
        choose_when="images are scenes of several things, or each pixel is to be classified",
        recipe=Recipe(learning_rate=0.06, weight_decay=1e-4),
        presets=PRESETS,
    )

    matcher: Matcher = field(default_factory=Matcher)
    """which locations of two views belong together"""
    weight: float = 0.5
    """weight of the sets' loss; that of the images' loss is the rest to 1 (paper: 0.5); 0 is MoCo v2 alone"""
    stage: int | None = None
    """which of the encoder's maps has the locations, counted from 1; None: the deepest of at least 7 x 7"""
    map_size: int = 8
    """largest side of the map: a larger map is averaged down to it (paper: 7, the map as it is)"""
    temperature: float = 0.2
    """divides the cosines (paper: 0.2)"""
    momentum: float = 0.99
    """of the teacher (paper: 0.999 for long runs on ImageNet; shorter runs want a faster teacher)"""
    queue: int = 4096
    """length of both queues of past keys (paper: 65,536 of ImageNet's 1.28 million)"""
    hidden: int = 512
    """width of either head's hidden layer (paper: 2,048, the encoder's own)"""
    dim: int = 128
    """width of the space that the losses compare in (paper: 128)"""
    views: ViewPolicy = field(default_factory=moco_v2)
    """crop, flip, colour jitter, grey, blur"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Student with a head for images and one for locations, its EMA copy, and two queues."""
        if self.views.size is None:
            raise LikewiseError(
                "SetSim's views name no size, which its map depends on: give views=moco_v2() a size."
            )
        shapes = encoder.map_shapes(self.views.size)
        stage = dense_stage([side for _, side in shapes], self.stage)
        width, _ = shapes[stage - 1]
        head = mlp(encoder.width, self.hidden, self.dim, batch_norm=False)
        location_head = location_mlp(width, self.hidden, self.dim)
        return Nets(
            encoder=encoder,
            head=head,
            location_head=location_head,
            teacher=make_ema_copy(nn.ModuleList([encoder, head, location_head])),
            queue=Queue(self.queue, self.dim),
            location_queue=Queue(self.queue, self.dim),
        )

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """The student embeds one view, the teacher the other: the image, its locations, and which locations match."""
        first, second = self._two_views(batch, progress)
        student = [nets.encoder, nets.head, nets.location_head]
        # [B, dim], [B, U, dim], [B, U, D]
        query, locations, features = self._project(student, first.pixels)
        with torch.no_grad():
            key, key_locations, key_features = self._project(nets.teacher, second.pixels)
            boxes = first.box, second.box
            pairs = self.matcher(features, key_features, boxes, batch.pixels.aspect)  # [B, U, V]
        return {
            "query": unit(query),
            "key": unit(key),
            "locations": _unit_locations(locations),
            "key_locations": _unit_locations(key_locations),
            "mean_location": unit(key_locations.mean(dim=1)),  # [B, dim]
            "pairs": pairs.to(torch.uint8),
        }

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """MoCo's loss of the images, and that of the sets of locations; each has its queue."""
        images = queue_nce(outputs["query"], outputs["key"], nets.queue.rows, self.temperature)
        sets = set_similarity(
            outputs["locations"],
            outputs["key_locations"],
            outputs["pairs"],
            nets.location_queue.rows,
            self.temperature,
        )
        metrics = {
            "feature_std": feature_std(outputs["query"]),
            "images_loss": images,
            "sets_loss": sets,
            "pairs": outputs["pairs"].sum(dim=(1, 2)).float().mean(),
        }
        memory_updates = {"queue": outputs["key"], "location_queue": outputs["mean_location"]}
        return Step((1 - self.weight) * images + self.weight * sets, metrics, memory_updates)

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Push the keys and the mean locations, then update the EMA teacher."""
        nets.queue.push(step.memory_updates["queue"])
        nets.location_queue.push(step.memory_updates["location_queue"])
        student = nn.ModuleList([nets.encoder, nets.head, nets.location_head])
        ema_update(nets.teacher, student, self.momentum)

    def match_views(self, nets: Nets, batch: Batch, progress: Progress) -> MatchedViews:
        """Two views and their pairs, as `embed` would match them."""
        first, second = self._two_views(batch, progress)
        of_student = self._map(nets.encoder, first.pixels)[1]
        of_teacher = self._map(nets.teacher[0], second.pixels)[1]
        maps = of_student, of_teacher
        first_features, second_features = map(flatten_locations, maps)
        boxes = first.box, second.box
        pairs = self.matcher(first_features, second_features, boxes, batch.pixels.aspect)
        return MatchedViews(first, second, pairs)

    def _two_views(self, batch: Batch, progress: Progress) -> list[View]:
        first = self.views(batch.pixels, progress.rng("first view", batch))
        second = self.views(batch.pixels, progress.rng("second view", batch))
        return [first, second]

    def _project(self, parts: Sequence[nn.Module], pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Projections of the image [B, dim] and of its locations [B, U, dim], and the locations' features [B, U, D]."""
        encoder, head, location_head = parts
        pooled, chosen = self._map(encoder, pixels)
        return head(pooled), flatten_locations(location_head(chosen)), flatten_locations(chosen)

    def _map(self, encoder: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the image [B, D], and the map [B, D, s, s] of its locations."""
        pooled, maps = cast(Encoder, encoder).forward_with_maps(pixels)
        return pooled, dense_map(maps, self.stage, self.map_size)


def _unit_locations(locations: Tensor) -> Tensor:
    return unit(locations.flatten(0, 1)).unflatten(0, locations.shape[:2])
