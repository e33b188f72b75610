"""Methods whose classifier learns from generated images: who makes them, who judges them, and how they are trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.data.loader import Support
from likewise.encoders import Encoder
from likewise.encoders.adversaries import Generator, PairDiscriminator
from likewise.errors import LikewiseError
from likewise.methods.fake_pictures import draw_fakes
from likewise.methods.illustration import Illustration
from likewise.methods.method import Method, Nets, Progress
from likewise.methods.player import Player
from likewise.methods.recipe import Recipe
from likewise.views.policies import ViewPolicy, whole


@dataclass(frozen=True)
class Generating(Method):
    """A classifier beside up to three others that learn in turn with it.

    A good generator makes images of a class, and a discriminator judges whether an image and its class belong together;
    a bad generator makes images that are none of any class. Fakes carry a gradient in their maker's turn alone.
    """

    noise: int = 100
    """numbers that a fake is made of, each from 0 to 1 (Triple-GAN and Bad-GAN: 100)"""
    width: int = 32
    """channels before a generator's last layer, and of the discriminator's first map (both papers' generators: 128)"""
    game_rate: float = 3e-4
    """learning rate of discriminator and good generator, for a batch of 256 (Triple-GAN's code: 3e-4)"""
    bad_rate: float = 1e-3
    """learning rate of the bad generator, for a batch of 256 (Bad-GAN's code: 1e-3 for SVHN, 3e-4 for CIFAR-10)"""
    classes_per_batch: int = 10
    """classes in a labelled batch, or all if there are fewer"""
    images_per_class: int = 4
    """labelled images of each (Triple-GAN's code: 20 in all for SVHN; Bad-GAN's: 64)"""
    views: ViewPolicy = field(default_factory=whole)
    """what all see of an image: all of it, unchanged, as both papers have it for SVHN"""

    @property
    def good(self) -> bool:
        """Whether good fakes play a part."""
        raise NotImplementedError

    @property
    def bad(self) -> bool:
        """Whether bad fakes do."""
        raise NotImplementedError

    @property
    def players(self) -> tuple[Player, ...]:
        """The discriminator, the generators, and the classifier with its encoder; Adam's beta 1 as in their code."""
        game = Recipe("adamw", self.game_rate, momentum=0.5, weight_decay=0.0)
        match = Recipe("adamw", self.bad_rate, momentum=0.0, weight_decay=0.0)
        good = Player("discriminator", ("discriminator",), game), Player("good generator", ("good_generator",), game)
        bad = (Player("bad generator", ("bad_generator",), match),)
        classifier = Player("classifier", ("encoder", "classifier"))
        return (*(good if self.good else ()), *(bad if self.bad else ()), classifier)

    @property
    def support(self) -> Support:
        """Classes x images, labelled."""
        return Support(self.classes_per_batch, self.images_per_class)

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """A linear classifier on the encoder, and those of the others that play a part."""
        classifier, others = nn.Linear(encoder.width, classes), self.others(encoder.channels, classes)
        playing = {part for player in self.players for part in player.parts}
        return Nets(encoder=encoder, classifier=classifier, **{n: net for n, net in others.items() if n in playing})

    def others(self, channels: int, classes: int) -> Mapping[str, nn.Module]:
        """Discriminator and generators, for images like the run's."""
        size = self.views.size
        if size is None:
            raise LikewiseError(
                f"{self.title} makes images of one size, but its views name none: take views=whole(28), or let the run "
                f"choose by likewise.train."
            )
        return {
            "discriminator": PairDiscriminator(channels, self.width, classes),
            "good_generator": Generator(self.noise, channels, size, self.width, classes),
            "bad_generator": Generator(self.noise, channels, size, self.width),
        }

    def view(self, batch: Batch, progress: Progress, name: str) -> Tensor:
        """What the players see of images."""
        return self.views(batch.pixels, progress.rng(name, batch)).pixels

    def good_fakes(self, nets: Nets, batch: Batch, progress: Progress) -> tuple[Tensor, Tensor]:
        """An image and its class for each row of the batch; classes are drawn alike."""
        rng, device = progress.rng(f"good fakes of the {progress.player}", batch), batch.indices.device
        classes = (rng.uniform() * nets.classifier.out_features).long().to(device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and progress.player == "good generator"):
            return nets.good_generator(rng.uniform(columns=self.noise).to(device), classes), classes

    def bad_fakes(self, nets: Nets, batch: Batch, progress: Progress) -> Tensor:
        """An image for each row of the batch."""
        rng, device = progress.rng(f"bad fakes of the {progress.player}", batch), batch.indices.device
        with torch.set_grad_enabled(torch.is_grad_enabled() and progress.player == "bad generator"):
            return nets.bad_generator(rng.uniform(columns=self.noise).to(device))

    def classify(self, nets: Nets, pixels: Tensor) -> Tensor:
        """Logits of the trained classifier."""
        return nets.classifier(nets.encoder(pixels))

    def illustrate(self, nets: Nets, batch: Batch, progress: Progress) -> Illustration | None:
        """Good fakes of each class, and bad fakes, with what the classifier makes of them."""
        good = self.good_fakes(nets, batch, progress) if self.good else None
        bad = self.bad_fakes(nets, batch, progress) if self.bad else None
        real = batch if batch.support is None else batch.support
        labelled = self.view(real, progress, "view"), real.labels
        return draw_fakes(lambda pixels: self.classify(nets, pixels), labelled, good, bad)
