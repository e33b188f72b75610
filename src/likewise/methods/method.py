"""What a method is: settings that are frozen, networks that it builds, and a step that reads like its paper."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.data.columns.column import Column, ColumnTransform
from likewise.data.loader import Support
from likewise.data.video.clip_columns import IdentityTransform
from likewise.data.video.clip_sampling import ClipSampling
from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.losses.float32 import unit
from likewise.methods.card import Card
from likewise.methods.manual_optimization import Backward
from likewise.methods.nets import Nets
from likewise.methods.progress import Progress
from likewise.methods.step import Outputs, Step, compute_over_ranks
from likewise.views.view_policy import ViewPolicy

MethodT = TypeVar("MethodT", bound="Method")
P = ParamSpec("P")


def _takes_an_encoder(build: Callable[P, Nets]) -> Callable[P, Nets]:
    """Refuse a network that is not wrapped as an encoder, for a loop of the user's own has no check before this one."""

    @functools.wraps(build)
    def checked(*args: P.args, **kwargs: P.kwargs) -> Nets:
        method, *given = args
        encoder = given[0] if given else kwargs.get("encoder")
        if isinstance(encoder, nn.Module) and not hasattr(encoder, "width"):
            raise LikewiseError(
                f"{type(method).__name__}.build takes an encoder; the network {type(encoder).__name__} was given. Wrap "
                f"it: likewise.encoders.ModuleEncoder(network, image_size=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, "
                f"0.25)), with the size, mean and standard deviation of its images."
            )
        return build(*args, **kwargs)

    return checked


@dataclass(frozen=True)
class Method:
    """A learning rule. Its fields are its settings; its weights live in the `Nets` that it builds.

    A step has two halves. `embed` works on each example alone; `compute_loss` couples the rows of the whole batch. The
    seam between them is where the rows of other ranks and of other microbatches come in, once, for every method.
    """

    card: ClassVar[Card]
    """title, paper, idea, recipe and presets: what help and pages say about it"""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "build" in cls.__dict__:
            cls.build = _takes_an_encoder(cls.build)

    clip_sampling: ClassVar[ClipSampling | None] = None
    """how much of a video it looks at; None: it learns from images"""

    @classmethod
    def preset(cls: type[MethodT], name: str) -> MethodT:
        """The method with a preset's settings; recipe, batch size and epochs are in ``card.presets[name]``.

        Raises:
            LikewiseError: there is no preset of that name.
        """
        return cls(**cls.card.preset(name).settings)

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it learns from besides pixels, by the names of `Batch.modalities`; data that lack one are refused."""
        return ()

    @property
    def support(self) -> Support | None:
        """The class-balanced labelled batch that comes with each batch, if any."""
        return None

    def column_transforms(self, columns: Mapping[str, Column]) -> Mapping[str, ColumnTransform]:
        """For each modality how a column becomes tensors; the default passes on the arrays that the column holds.

        Args:
            columns: of the training examples, by name; a transform may be fitted to them.
        """
        return {name: IdentityTransform() for name in self.modalities}

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """The networks around an encoder; ``classes`` is how many class names the data have."""
        raise NotImplementedError

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Per-example work: [B, ...] rows. Only batch normalisation may look at other rows."""
        raise NotImplementedError

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Batch-coupling work, over the rows of all ranks.

        It may use what is the same on every rank alone: ``outputs``, parameters and memories. The losses of this
        library then divide their rows among the ranks (see `collectives.sharded_rows`).
        """
        raise NotImplementedError

    def step(self, nets: Nets, batch: Batch, progress: Progress) -> Step:
        """One step: embed, gather, contrast."""
        return self.gather_and_compute_loss(nets, self.embed(nets, batch, progress), progress)

    def gather_and_compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """`compute_loss` of this rank's rows and those of all others."""
        return compute_over_ranks(self.compute_loss, nets, outputs, progress)

    def before_step(
        self, nets: Nets, batch: Batch, progress: Progress, backward: Backward
    ) -> Mapping[str, Step]:
        """Update networks that have an optimiser of their own, before the main optimiser's step.

        Such networks take no gradient otherwise (``requires_grad_(False)`` in `build`) and keep the optimiser's state
        in the networks (`manual_optimization.AdamWModule`), so that checkpoints hold it.

        Args:
            nets: what `build` made.
            batch: the step's.
            progress: the step, and the batch's random numbers.
            backward: computes an `Objective`'s loss and the gradients of its network.

        Returns:
            the step of each update by its name; the log gets its loss as ``<name>_loss``, and its metrics.
        """
        return {}

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Move what gradients do not: teachers and queues."""

    def classifier(self, nets: Nets) -> tuple[Encoder, nn.Module] | None:
        """The encoder and the layer on its features that give logits, where the method trains a classifier."""
        return None

    def save(self, nets: Nets, transforms: Mapping[str, ColumnTransform], folder: Path) -> None:
        """Write what evaluation needs besides the encoder, which is saved already.

        Args:
            nets: after training.
            transforms: what `column_transforms` returned.
            folder: the run's; there is no name to avoid but those of `RunFolder`.
        """


def classify(method: Method, nets: Nets, pixels: Tensor) -> Tensor:
    """Logits [B, classes] of float pixels [B, C, S, S] by the classifier that a method trains.

    Raises:
        LikewiseError: it trains none.
    """
    networks = method.classifier(nets)
    if networks is None:
        raise LikewiseError(
            f"{method.card.title} trains no classifier; use a probe on its features."
        )
    encoder, head = networks
    return head(encoder(pixels))


def one_view(policy: ViewPolicy, batch: Batch, progress: Progress, name: str = "view") -> Tensor:
    """A view of each image, float [B, C, S, S]; views of different names are independent."""
    return policy(batch.pixels, progress.rng(name, batch)).pixels


def two_views(
    policy: ViewPolicy, batch: Batch, progress: Progress, other: ViewPolicy | None = None
) -> list[Tensor]:
    """Two independent views of each image, float [B, C, S, S] each; the second by ``other`` if given."""
    first = one_view(policy, batch, progress, "first view")
    second = one_view(other or policy, batch, progress, "second view")
    return [first, second]


def support_view(policy: ViewPolicy, batch: Batch, progress: Progress) -> dict[str, Tensor]:
    """``support``: a view of each row of the support; empty where a microbatch holds no row of it."""
    if batch.support is None:
        return {}
    return {"support": one_view(policy, batch.support, progress, "support")}


def support_labels(batch: Batch) -> dict[str, Tensor]:
    """``labels``: the classes of the support's rows [S]; empty where a microbatch holds no row of it."""
    return {} if batch.support is None else {"labels": batch.support.labels}


def forward_concatenated(network: nn.Module, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Several views through a network in one pass, so that batch normalisation sees them as one batch."""
    together = network(torch.cat(list(views.values())))
    outputs = together.split([len(view) for view in views.values()])
    return dict(zip(views, outputs, strict=True))


def feature_std(z: Tensor) -> Tensor:
    """How far rows lie apart, 0 to 1: mean standard deviation of unit vectors times sqrt(D); 0 is collapse.

    Chen & He 2021 (SimSiam), Sec. 4.1, https://arxiv.org/abs/2011.10566.
    """
    std = unit(z.detach()).std(dim=0, correction=0)  # [D]
    return std.mean() * math.sqrt(z.shape[1])
