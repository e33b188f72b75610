"""UGAN: one classifier learns from fakes that look real and from fakes that lie where no class is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.data.loader import Support
from likewise.encoders import Encoder
from likewise.encoders.adversaries import Generator, PairDiscriminator
from likewise.errors import LikewiseError
from likewise.losses import adversarial as game
from likewise.methods.card import Card, Preset
from likewise.methods.cross_entropy import labelled_cross_entropy
from likewise.methods.manual_optimization import AdamWModule, Backward, Objective
from likewise.methods.method import (
    Method,
    Nets,
    Outputs,
    Progress,
    Step,
    classify,
    forward_concatenated,
    one_view,
    support_labels,
    support_view,
)
from likewise.methods.nets import kept_statistics
from likewise.methods.recipe import Recipe
from likewise.views.policies import identity
from likewise.views.view_policy import ViewPolicy

RATE = 1e-3 * (256 / 64) ** 0.5
"""Bad-GAN's 1e-3 for 64 images, stated for 256."""

PRESETS = {
    "small": Preset(
        "SVHN, 32 px, 100 labels a class, nine convolutions with weight norm (conv9-half)",
        "config.py lines 42-71 of https://github.com/kimiyoung/ssl_bad_gan (commit 2863f0a); good fakes by "
        "x2y_yz2x_xy2p_ssl_svhn.py lines 66-104 of https://github.com/zhenxuan00/triple-gan (commit 9691c00); "
        "the two were not trained together there",
        Recipe("adamw", learning_rate=RATE, momentum=0.5, weight_decay=0.0, warm_up=0.0),
        batch_size=64,
        epochs=900,
        settings={"width": 128, "bad_rate": RATE, "game_rate": 6e-4, "images_per_class": 6},
    ),
    "middle": Preset(
        "STL-10, 96 px, 100 labels a class",
        "ours: neither parent has images beyond 32 px; SVHN's settings with wider batches",
        Recipe("adamw", learning_rate=1e-3, momentum=0.5, weight_decay=1e-4, warm_up=0.02),
        batch_size=128,
        epochs=300,
        settings={"width": 128, "images_per_class": 6},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, 10% of the labels",
        "ours: untried; neither parent has images beyond 32 px, and generators of this kind are not known to do "
        "1,000 classes; the classes of good fakes therefore weigh a tenth",
        Recipe("adamw", learning_rate=1e-3, momentum=0.5, weight_decay=1e-4, warm_up=0.02),
        batch_size=256,
        epochs=100,
        settings={
            "width": 128,
            "classes_per_batch": 64,
            "images_per_class": 1,
            "good_weight": 0.003,
        },
        image_size=224,
    ),
}


@dataclass(frozen=True)
class UGAN(Method):
    """Li et al. 2019, reconstructed: its abstract could be read, its body could not.

    A classifier with its encoder and up to three adversaries. A good generator makes images of a class, and a
    discriminator tells whether an image and its class belong together; a bad generator makes images of no class. Terms
    and weights are those of the two methods that it joins, as their code has them: Triple-GAN (Li et al. 2017,
    https://arxiv.org/abs/1703.02291) for good fakes, Bad-GAN (Dai et al. 2017, https://arxiv.org/abs/1705.09783) for
    bad ones. How UGAN weighs the two against each other is ours.

    `embed` and `compute_loss` are the classifier's. The adversaries have optimisers of their own and are updated in
    `before_step`. Fakes carry a gradient in the update of their own generator alone.
    """

    card = Card(
        title="UGAN",
        paper="Li et al. 2019, reconstructed from Triple-GAN (Li et al. 2017, https://arxiv.org/abs/1703.02291) "
        "and Bad-GAN (Dai et al. 2017, https://arxiv.org/abs/1705.09783)",
        needs="some labels",
        idea="A classifier learns from generated images of each class and from images generated where no class is.",
        choose_when="images are small, a few of each class are labelled, and generated images are wanted too",
        recipe=Recipe("adamw", learning_rate=1e-3, momentum=0.5, weight_decay=1e-4),
        presets=PRESETS,
    )

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
    """labelled images of each class in a labelled batch (Triple-GAN's code: 20 in all for SVHN; Bad-GAN's: 64)"""
    views: ViewPolicy = field(default_factory=identity)
    """views of an image: all of it, unchanged, as both papers have it for SVHN"""
    good_weight: float = 0.03
    """weight of the classifier's loss on good fakes, once they count (Triple-GAN's code: 0.03 for SVHN)"""
    good_from: float = 0.2
    """share of the run until good fakes count; by twice that they count fully (Triple-GAN's code: 0.2, at once)"""
    discriminator_confidence_weight: float = 0.01
    """weight of being confident in a pseudo-label that the discriminator doubts (Triple-GAN's code: 0.01)"""
    pseudo_label_share: float = 0.9
    """share of pseudo-labels in the pairs that the discriminator takes for real (Triple-GAN's code: 180 of 200)"""
    bad_weight: float = 1.0
    """weight of telling real images from bad fakes (Bad-GAN's code: 1)"""
    pull_away_weight: float = 0.8
    """weight of bad fakes' difference from each other (Bad-GAN's code: 0.8)"""
    entropy_weight: float = 0.1
    """weight of the entropy of each unlabelled image's prediction (Bad-GAN's code: 0.1 for SVHN; Triple-GAN's: 0.3)"""
    class_balance_weight: float = 1e-3
    """weight of predicting all classes equally often (Triple-GAN's code: 1e-3)"""

    @property
    def good(self) -> bool:
        """Whether there are good fakes; without weights they and their discriminator are left out: Bad-GAN's half."""
        return self.good_weight > 0 or self.discriminator_confidence_weight > 0

    @property
    def bad(self) -> bool:
        """Whether there are bad fakes; without its weight the bad generator is left out: Triple-GAN's half."""
        return self.bad_weight > 0

    @property
    def support(self) -> Support:
        """Classes x images, labelled."""
        return Support(self.classes_per_batch, self.images_per_class)

    @property
    def adversary_recipes(self) -> Mapping[str, Recipe]:
        """The optimiser of each adversary, by its name in the networks and in the order of its update.

        Beta 1 of Adam is that of the parents' code: 0.5 for discriminator and good generator, 0 for the bad generator.
        """
        recipes: dict[str, Recipe] = {}
        if self.good:
            game_recipe = Recipe("adamw", self.game_rate, momentum=0.5, weight_decay=0.0)
            recipes["discriminator"] = game_recipe
            recipes["good_generator"] = game_recipe
        if self.bad:
            recipes["bad_generator"] = Recipe(
                "adamw", self.bad_rate, momentum=0.0, weight_decay=0.0
            )
        return recipes

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """A linear classifier on the encoder, and the adversaries in use with their optimisers."""
        classifier = nn.Linear(encoder.width, classes)
        networks = self.adversaries(encoder.channels, classes)
        nets = Nets(encoder=encoder, classifier=classifier)
        optimizers = nn.ModuleDict()
        for name, recipe in self.adversary_recipes.items():
            setattr(nets, name, networks[name].requires_grad_(False))
            optimizers[name] = AdamWModule(networks[name], recipe)
        nets.optimizers = optimizers
        return nets

    def adversaries(self, channels: int, classes: int) -> Mapping[str, nn.Module]:
        """Discriminator and generators, for images like the run's."""
        size = self.views.size
        if size is None:
            raise LikewiseError(
                f"{self.card.title} makes images of one size, but its views name none: take views=identity(28), or "
                f"let likewise.train choose it."
            )
        return {
            "discriminator": PairDiscriminator(channels, self.width, classes),
            "good_generator": Generator(self.noise, channels, size, self.width, classes),
            "bad_generator": Generator(self.noise, channels, size, self.width),
        }

    # The adversaries, which are updated before the classifier.

    def before_step(
        self, nets: Nets, batch: Batch, progress: Progress, backward: Backward
    ) -> Mapping[str, Step]:
        """One update of each adversary by its own loss and optimiser, in the order of `adversary_recipes`."""
        halves = {
            "discriminator": (self.embed_pairs, self.discriminator_loss),
            "good_generator": (self.embed_judged_fakes, self.good_generator_loss),
            "bad_generator": (self.embed_fake_features, self.bad_generator_loss),
        }
        batch_size = batch.size * progress.world_size
        steps: dict[str, Step] = {}
        for name, recipe in self.adversary_recipes.items():
            network = getattr(nets, name)
            steps[name] = backward(Objective(network, *halves[name]), batch, progress)
            rate = progress.scheduled(partial(_rate, recipe, batch_size))
            nets.optimizers[name].step(network, rate)
        return steps

    def embed_pairs(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """The discriminator's logits [B] of images with their label or pseudo-label, and of good fakes with theirs."""
        views = self._views(batch, progress)
        with torch.no_grad(), kept_statistics(nets.encoder):
            classes = {"seen": classify(self, nets, views["seen"]).argmax(dim=1)}
        if batch.support is not None:
            classes["support"] = batch.support.labels
        outputs = {name: nets.discriminator(view, classes[name]) for name, view in views.items()}
        with torch.no_grad():
            fakes = self.good_fakes(nets, batch, progress, "discriminator")
        return {**outputs, "made": nets.discriminator(*fakes)}

    def discriminator_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Real pairs are labelled or pseudo-labelled; made ones are half good fakes, half pseudo-labelled."""
        labelled = game.bce_gan_loss(outputs["support"], real=True)
        pseudo_labelled = game.bce_gan_loss(outputs["seen"], real=True)
        fakes = game.bce_gan_loss(outputs["made"], real=False)
        pseudo_labelled_fakes = game.bce_gan_loss(outputs["seen"], real=False)
        real = torch.lerp(labelled, pseudo_labelled, self.pseudo_label_share)
        return Step(real + (fakes + pseudo_labelled_fakes) / 2)

    def embed_judged_fakes(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """The discriminator's logits [B] of good fakes, with a gradient to their generator."""
        return {
            "made": nets.discriminator(*self.good_fakes(nets, batch, progress, "good generator"))
        }

    def good_generator_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Good fakes should be taken for real."""
        return Step(game.bce_gan_loss(outputs["made"], real=True) / 2)

    def embed_fake_features(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """The encoder's features [B, D] of images and of bad fakes, with a gradient to their generator."""
        pixels = {
            "seen": one_view(self.views, batch, progress),
            "made": self.bad_fakes(nets, batch, progress, "bad generator"),
        }
        with kept_statistics(nets.encoder):
            return {name: nets.encoder(each) for name, each in pixels.items()}

    def bad_generator_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """The mean features of bad fakes should be those of images, and fakes should differ from each other."""
        similarity = game.pull_away(outputs["made"])
        matching = game.feature_matching(outputs["made"], outputs["seen"])
        return Step(matching + self.pull_away_weight * similarity, {"bad_similarity": similarity})

    def good_fakes(
        self, nets: Nets, batch: Batch, progress: Progress, learner: str = "classifier"
    ) -> tuple[Tensor, Tensor]:
        """An image [B, C, S, S] for each row of the batch, and its class [B], drawn uniformly.

        Args:
            nets: the networks.
            batch: for which rows.
            progress: the step, and the batch's random numbers.
            learner: which network learns from them: each has its own noise.
        """
        rng = progress.rng(f"good fakes of the {learner}", batch).on(batch.indices.device)
        classes = (rng.uniform() * nets.classifier.out_features).long()
        noise = rng.uniform(columns=self.noise)
        return nets.good_generator(noise, classes), classes

    def bad_fakes(
        self, nets: Nets, batch: Batch, progress: Progress, learner: str = "classifier"
    ) -> Tensor:
        """An image [B, C, S, S] for each row of the batch; arguments as for `good_fakes`."""
        rng = progress.rng(f"bad fakes of the {learner}", batch).on(batch.indices.device)
        return nets.bad_generator(rng.uniform(columns=self.noise))

    # The classifier, which the main optimiser updates.

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Logits [B, classes] of views, labelled images and fakes, and the discriminator's of the pseudo-labels."""
        views = self._views(batch, progress)
        features = forward_concatenated(nets.encoder, views)
        logits = {name: nets.classifier(h) for name, h in features.items()}  # [B, classes] each
        outputs = {**logits, **support_labels(batch)}
        with torch.no_grad():  # fakes carry a gradient in the update of their own generator alone
            bad = self.bad_fakes(nets, batch, progress) if self.bad else None
            counts = progress.branch(lambda at: self._good_weight(at) > 0)
            good = self.good_fakes(nets, batch, progress) if counts else None
        with kept_statistics(nets.encoder):  # fakes move no statistic of real images
            if bad is not None:
                outputs["bad"] = classify(self, nets, bad)
            if good is not None:
                images, outputs["classes"] = good
                outputs["good"] = classify(self, nets, images)
        if self.discriminator_confidence_weight:
            pseudo_labels = outputs["seen"].argmax(dim=1)
            outputs["judged"] = nets.discriminator(views["seen"], pseudo_labels).detach()
        return outputs

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Labels, real images against bad fakes, confident and balanced predictions, good fakes, doubted ones."""
        seen = outputs["seen"]  # [B, classes]
        supervised = labelled_cross_entropy(outputs["support"], outputs["labels"])
        loss = (
            supervised
            + self.entropy_weight * game.prediction_entropy(seen)
            + self.class_balance_weight * game.class_imbalance(seen)
        )
        metrics = {"supervised": supervised, "seen_top_logit": seen.detach().amax(dim=1).mean()}
        if "bad" in outputs:
            real_evidence = game.class_evidence(seen, real=True)
            fake_evidence = game.class_evidence(outputs["bad"], real=False)
            loss = loss + self.bad_weight * (real_evidence + fake_evidence)
            metrics["bad_top_logit"] = outputs["bad"].detach().amax(dim=1).mean()
        if "good" in outputs:
            of_good_fakes = labelled_cross_entropy(outputs["good"], outputs["classes"])
            loss = loss + progress.scheduled(self._good_weight) * of_good_fakes
        if "judged" in outputs:
            confidence = game.discriminator_confidence(seen, outputs["judged"])
            loss = loss + self.discriminator_confidence_weight * confidence
        return Step(loss, metrics)

    def classifier(self, nets: Nets) -> tuple[Encoder, nn.Module]:
        """The trained encoder and the linear layer on it."""
        return nets.encoder, nets.classifier

    def _views(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Views of the batch's images and of its labelled images."""
        seen = one_view(self.views, batch, progress)
        return {"seen": seen, **support_view(self.views, batch, progress)}

    def _good_weight(self, progress: Progress) -> float:
        """What the classes of good fakes weigh: nothing while they do not look like images."""
        # From good_from to twice as much of the run.
        risen = progress.fraction / max(self.good_from, 1e-9) - 1
        return self.good_weight * min(max(risen, 0.0), 1.0)


def _rate(recipe: Recipe, batch_size: int, at: Progress) -> float:
    """The learning rate of an adversary at a step."""
    return recipe.rate_at(at.step, at.steps, at.steps_per_epoch, batch_size)
