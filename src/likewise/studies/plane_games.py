"""UGAN on points of a plane, with networks of a few hundred units, trained by the common loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likewise.data.batch import UNLABELLED, Batch, Pixels
from likewise.data.images import InMemoryImages
from likewise.data.loader import Loader
from likewise.encoders import Encoder
from likewise.methods import Nets, Progress, Recipe
from likewise.methods.method import classify
from likewise.methods.ugan import UGAN
from likewise.randomness import generator, seed_networks
from likewise.training import LoopSettings, train
from likewise.training.fabric_import import load_fabric

Shape = Literal["pinwheels", "moons"]
HIDDEN = 64
"""Units of each hidden layer, of all networks."""


class PlanePoints(NamedTuple):
    """Points in the unit square and their classes."""

    coordinates: Tensor
    """float [N, 2]"""
    classes: Tensor
    """int64 [N]"""

    def as_batch(self, rows: int) -> Batch:
        """The first of them as a batch of images of one pixel."""
        images, index = self.coordinates[:rows, :, None, None], torch.arange(rows)
        return Batch(Pixels(images, torch.ones(rows)), self.classes[:rows], index)


@dataclass(frozen=True)
class Plane:
    """The distribution of the points, their numbers, and the length of training."""

    shape: Shape = "pinwheels"
    """four bent arms about a centre, or two moons that reach into each other"""
    points: int = 800
    """training points, equally many of each class"""
    test: int = 2000
    """test points"""
    steps: int = 500
    """of training"""
    batch: int = 128
    """unlabelled points of a step"""
    noise: int = 8
    """dimensions of a generator's noise"""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return 4 if self.shape == "pinwheels" else 2

    def draw(self, count: int, chance: torch.Generator) -> PlanePoints:
        """Points, equally many of each class."""
        classes = torch.arange(count) % self.classes
        along = torch.rand(count, generator=chance)
        off = torch.randn(count, 2, generator=chance)
        if self.shape == "pinwheels":  # an arm goes out from the centre and turns as it does
            out = 0.1 + 0.36 * along
            angle = classes * torch.pi / 2 + 3.2 * out + 0.045 * off[:, 0] / out
            coordinates = 0.5 + out[:, None] * _direction(angle)
        else:
            angle = torch.pi * (along + classes)
            centre = torch.tensor([[0.4, 0.44], [0.6, 0.56]])[classes]
            coordinates = centre + 0.22 * _direction(angle) + 0.025 * off
        return PlanePoints(coordinates.clamp(0, 1), classes)


def _direction(angle: Tensor) -> Tensor:
    """Unit vectors [N, 2] of angles [N]."""
    return torch.stack([angle.cos(), angle.sin()], dim=1)


class PlaneEncoder(Encoder):
    """Points as images of one pixel with two channels, through two hidden layers."""

    def __init__(self) -> None:
        super().__init__(HIDDEN, (0.5, 0.5), (0.25, 0.25))
        self.layers = nn.ModuleList(_OnePixel(width) for width in (2, HIDDEN))

    def stages(self) -> Sequence[nn.Module]:
        """The hidden layers."""
        return list(self.layers)

    def another_stage(self) -> nn.Module:
        """One more hidden layer."""
        return _OnePixel(HIDDEN)


class _OnePixel(nn.Module):
    """A hidden layer on maps [B, width, 1, 1]: what a convolution would be there, but quicker."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, HIDDEN)

    def forward(self, maps: Tensor) -> Tensor:
        """[B, width, 1, 1] -> [B, units, 1, 1]."""
        return F.leaky_relu(self.linear(maps.flatten(1)), 0.2)[..., None, None]


class PlaneGenerator(nn.Module):
    """From noise, and a class for a conditional generator, to points."""

    def __init__(self, noise: int, classes: int = 0) -> None:
        super().__init__()
        self.classes = classes
        self.layers = layers(noise + classes, 2)

    def forward(self, noise: Tensor, classes: Tensor | None = None) -> Tensor:
        """[B, noise] -> [B, 2, 1, 1] in [0, 1]."""
        inputs = noise * 2 - 1
        if classes is not None:
            inputs = torch.cat([inputs, F.one_hot(classes, self.classes)], dim=1)
        return self.layers(inputs).sigmoid()[..., None, None]


class PlaneDiscriminator(nn.Module):
    """Points and classes to logits of "a real point of that class"."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.layers = layers(2 + classes, 1)

    def forward(self, points: Tensor, classes: Tensor) -> Tensor:
        """[B, 2, 1, 1] and int64 [B] -> [B]."""
        coordinates = points.flatten(1) * 4 - 2
        pair = torch.cat([coordinates, F.one_hot(classes, self.classes)], dim=1)  # [B, 2 + classes]
        return self.layers(pair).squeeze(1)


def layers(width: int, out: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(width, HIDDEN),
        nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, HIDDEN),
        nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, out),
    )


@dataclass(frozen=True)
class PlaneUGAN(UGAN):
    """UGAN with networks for points, without views, and with our own weights.

    On a plane generators learn in a few hundred steps, so good fakes can be used sooner and weigh as much as labels.
    """

    good_weight: float = 1.0
    """of the classes of good fakes"""
    good_from: float = 0.1
    """share of the run until good fakes count"""
    entropy_weight: float = 0.3
    """of being sure of each unlabelled point"""
    game_rate: float = 3e-3
    """learning rate of the discriminator and the good generator"""
    bad_rate: float = 3e-3
    """learning rate of the bad generator"""

    def view(self, batch: Batch, progress: Progress, name: str) -> Tensor:
        """The points."""
        return batch.pixels.images

    def adversaries(self, channels: int, classes: int) -> Mapping[str, nn.Module]:
        """Small networks of the plane."""
        return {
            "discriminator": PlaneDiscriminator(classes),
            "good_generator": PlaneGenerator(self.noise, classes),
            "bad_generator": PlaneGenerator(self.noise),
        }


def learn(
    plane: Plane, rule: PlaneUGAN, labels_per_class: int, seed: int
) -> tuple[Nets, PlanePoints, Tensor]:
    """Train on a draw of points; every rule sees the same ones, with the same labels.

    Returns:
        the networks, the training points, and the visible labels, int64 [N], -1 elsewhere.
    """
    Fabric = load_fabric()

    points = plane.draw(plane.points, generator("ugan-toy", seed, "points"))
    visible = torch.full((plane.points,), UNLABELLED)
    order = torch.randperm(plane.points, generator=generator("ugan-toy", seed, "labels"))
    for label in range(plane.classes):
        # Larger budgets contain the smaller ones.
        members = order[points.classes[order] == label][:labels_per_class]
        visible[members] = label
    seed_networks("ugan-toy", seed, "weights")
    nets = rule.build(PlaneEncoder(), plane.classes)
    pixels = Pixels(points.coordinates[..., None, None], torch.ones(plane.points))
    images = InMemoryImages(pixels)
    loader = Loader(images, visible, plane.batch, seed, rule.support)
    recipe = Recipe("adamw", 3e-3, momentum=0.5, weight_decay=1e-4)
    settings = LoopSettings(plane.steps, seed, log_every=plane.steps)
    train(Fabric(accelerator="cpu", devices=1), rule, nets, loader, recipe, settings)
    return nets, points, visible


@torch.no_grad()
def error(plane: Plane, rule: PlaneUGAN, nets: Nets, seed: int) -> float:
    """Share of test points that the classifier gets wrong."""
    test = plane.draw(plane.test, generator("ugan-toy", seed, "test"))
    predictions = classify(rule, nets, test.coordinates[..., None, None]).argmax(dim=1)
    return float((predictions != test.classes).double().mean())
