"""What a method is: settings that are frozen, networks that it builds, and a step that reads like its paper."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from likewise.collectives import gather
from likewise.data.batch import Batch, Place
from likewise.data.beside import Reader
from likewise.data.loader import Support
from likewise.data.manifest import Manifest
from likewise.encoders import Encoder
from likewise.losses.float32 import unit
from likewise.methods.recipe import Recipe
from likewise.randomness import Draws
from likewise.run_folder import RunFolder
from likewise.views.policies import ViewPolicy, byol, moco_v2, simclr, simclr_small, supcon, swav, swav_small_crop

Rows = Mapping[str, Tensor]
"""Per-example results by name; the first dimension is the example."""

MethodT = TypeVar("MethodT", bound="Method")


class Step(NamedTuple):
    """What a step gives back."""

    loss: Tensor
    """a scalar to be minimised"""
    metrics: Mapping[str, Tensor] = {}
    """detached scalars for the log"""
    remember: Mapping[str, Tensor] = {}
    """detached rows that `Method.after_update` puts into memory"""


class Nets(nn.Module):
    """What a method learns or remembers, by name: ``encoder`` always; head, predictor, teacher, queue as needed."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)

    def __getattr__(self, name: str) -> Any:
        """A part by name; typed loosely because each method has its own."""
        return super().__getattr__(name)


class Progress(NamedTuple):
    """Where training stands. The only source of randomness that a method has."""

    step: int
    """counted from 0"""
    steps: int
    """of the whole run"""
    seed: int = 0
    """of the run"""
    rank: int = 0
    """which slice of the global batch is held here; for the draws alone"""
    world_size: int = 1
    """how many slices there are"""

    @property
    def fraction(self) -> float:
        """Share of the run that is done, 0 at the first step and 1 at the last."""
        return self.step / max(self.steps - 1, 1)

    def draws(self, name: str, batch: Batch) -> Draws:
        """Random numbers for the batch's rows: a function of (seed, step, name, place in the global batch)."""
        first, every, whole = batch.place or Place(0, 1, batch.size)
        key = (self.seed, self.step, name)
        return Draws(key, batch.size, whole * self.world_size, whole * self.rank + first, every=every)


@dataclass(frozen=True)
class Method:
    """A learning rule. Its fields are its settings; its weights live in the `Nets` that it builds.

    A step has two halves. `embed` works on each example alone; `contrast` couples the rows of the whole batch. The
    seam between them is where the rows of other ranks and of other microbatches come in, once, for every method.
    """

    title: ClassVar[str]
    """its name as the paper writes it"""
    paper: ClassVar[str]
    """authors, year and address"""
    needs: ClassVar[Literal["no labels", "some labels", "all labels"]]
    """the labels that it is for"""
    idea: ClassVar[str]
    """one sentence: what it does and when to choose it"""
    recipe: ClassVar[Recipe] = Recipe()
    """how to train it unless told otherwise"""
    senses: ClassVar[tuple[str, ...]] = ()
    """what it learns from beside pixels, by the names of `Batch.beside`; a run whose data lack one is refused"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """The networks around an encoder; ``classes`` is how many class names the data have."""
        raise NotImplementedError

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Rows:
        """Per-example work: [B, ...] rows. Only batch normalisation may look at other rows."""
        raise NotImplementedError

    def contrast(self, nets: Nets, rows: Rows, progress: Progress) -> Step:
        """Batch-coupling work, over the rows of all ranks."""
        raise NotImplementedError

    def step(self, nets: Nets, batch: Batch, progress: Progress) -> Step:
        """One step: embed, gather, contrast."""
        return self.couple(nets, self.embed(nets, batch, progress), progress)

    def couple(self, nets: Nets, rows: Rows, progress: Progress) -> Step:
        """`contrast` of this rank's rows and those of all others."""
        return self.contrast(nets, {name: gather(row) for name, row in rows.items()}, progress)

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Move what gradients do not: teachers and queues."""

    def classify(self, nets: Nets, pixels: Tensor) -> Tensor | None:
        """Logits [B, classes] of float pixels [B, C, S, S], where the method has a classifier of its own."""
        return None

    def readers(self, train: Manifest) -> Mapping[str, Reader]:
        """For each of its senses how a column becomes rows of numbers, fitted on the training examples."""
        return {}

    def keep(self, nets: Nets, readers: Mapping[str, Reader], run: RunFolder) -> None:
        """Write what is wanted of the networks after training besides the encoder."""

    @property
    def support(self) -> Support | None:
        """The class-balanced labelled rows that each batch should bring along, if any."""
        return None

    def support_steps(self, steps: int) -> int:
        """How many of the run's steps need those rows."""
        return steps


SMALL_VIEW = 64
"""Up to this many pixels views are made as the papers make them for CIFAR: no blur, SimCLR's colours halved."""


def with_view_size(method: MethodT, size: int) -> MethodT:
    """The method with every view policy that names no size set to the run's image size.

    Policies left at a paper's ImageNet form are swapped for its CIFAR form where images are small. A field whose
    metadata name a ``side`` gets that share of the size.
    """
    for_small = {simclr(): simclr_small(), moco_v2(): supcon()}
    for_small |= {policy: dataclasses.replace(policy, blur=0.0) for policy in byol()}
    for_small |= {
        swav(): dataclasses.replace(simclr_small(), crop_area=(0.14, 1.0)),
        swav_small_crop(): dataclasses.replace(simclr_small(), crop_area=(0.3, 0.75)),
    }
    sized = {
        field.name: dataclasses.replace(
            for_small.get(policy, policy) if size <= SMALL_VIEW else policy,
            size=max(round(size * field.metadata.get("side", 1)), 2),
        )
        for field in dataclasses.fields(method)
        if isinstance(policy := getattr(method, field.name), ViewPolicy) and policy.size is None
    }
    return dataclasses.replace(method, **sized)


def two_views(policy: ViewPolicy, batch: Batch, progress: Progress, other: ViewPolicy | None = None) -> list[Tensor]:
    """Two independent views of each image, float [B, C, S, S] each; the second by ``other`` if given."""
    policies = {"first view": policy, "second view": other or policy}
    return [policy(batch.pixels, progress.draws(name, batch)).pixels for name, policy in policies.items()]


def together(network: nn.Module, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Several views through a network in one pass, so that batch normalisation sees them as one batch."""
    rows = network(torch.cat(list(views.values()))).split([len(view) for view in views.values()])
    return dict(zip(views, rows, strict=True))


def spread(z: Tensor) -> Tensor:
    """How far rows lie apart, 0 to 1: mean standard deviation of unit vectors times sqrt(D); 0 is collapse.

    Chen & He 2021 (SimSiam), Sec. 4.1, https://arxiv.org/abs/2011.10566.
    """
    return unit(z.detach()).std(dim=0, correction=0).mean() * z.shape[1] ** 0.5
