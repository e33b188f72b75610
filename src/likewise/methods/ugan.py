"""UGAN: one classifier learns from fakes that look real and from fakes that lie where no class is."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from likewise.data.batch import Batch
from likewise.losses import adversarial as game
from likewise.methods.cross_entropy import labelled_cross_entropy
from likewise.methods.generating import Generating
from likewise.methods.method import Nets, Outputs, Progress, Step, together
from likewise.methods.nets import kept_statistics
from likewise.methods.presets.ugan import PRESETS
from likewise.methods.recipe import Recipe


@dataclass(frozen=True)
class UGAN(Generating):
    """Li et al. 2019, reconstructed: its abstract could be read, its body could not.

    Players, terms and weights are those of the two methods that it joins, as their code has them: Triple-GAN (Li et al.
    2017, https://arxiv.org/abs/1703.02291) for good fakes, Bad-GAN (Dai et al. 2017, https://arxiv.org/abs/1705.09783)
    for bad ones. How UGAN weighs the two against each other is ours.
    """

    title = "UGAN"
    paper = (
        "Li et al. 2019, reconstructed from Triple-GAN (Li et al. 2017, https://arxiv.org/abs/1703.02291) and Bad-GAN "
        "(Dai et al. 2017, https://arxiv.org/abs/1705.09783)"
    )
    needs = "some labels"
    idea = "A classifier learns from generated images of each class and from images generated where no class is."
    choose_when = "images are small, a few of each class are labelled, and generated images are wanted too"
    recipe = Recipe("adamw", learning_rate=1e-3, momentum=0.5, weight_decay=1e-4)
    presets = PRESETS

    good_weight: float = 0.03
    """of the classes of good fakes, once they count (Triple-GAN's code: 0.03 for SVHN)"""
    good_from: float = 0.2
    """share of the run until good fakes count; by twice that they count fully (Triple-GAN's code: 0.2, at once)"""
    discriminator_confidence_weight: float = 0.01
    """of confidence in labels that the discriminator doubts (Triple-GAN's code: 0.01)"""
    pseudo_label_share: float = 0.9
    """of guessed labels among the pairs that the discriminator takes for real (Triple-GAN's code: 180 of 200)"""
    bad_weight: float = 1.0
    """of telling real images from bad fakes (Bad-GAN's code: 1)"""
    pull_away_weight: float = 0.8
    """of bad fakes' differing from each other (Bad-GAN's code: 0.8)"""
    entropy_weight: float = 0.1
    """of being sure of each unlabelled image (Bad-GAN's code: 0.1 for SVHN; Triple-GAN's: 0.3)"""
    class_balance_weight: float = 1e-3
    """of using all classes alike (Triple-GAN's code: 1e-3)"""

    @property
    def good(self) -> bool:
        """Without weights of their own, good fakes and their discriminator are left out: Bad-GAN's half."""
        return self.good_weight > 0 or self.discriminator_confidence_weight > 0

    @property
    def bad(self) -> bool:
        """Without its weight the bad generator is left out: Triple-GAN's half."""
        return self.bad_weight > 0

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """What the one whose turn it is learns from, for each image."""
        if progress.player == "good generator":
            return {"made": nets.discriminator(*self.good_fakes(nets, batch, progress))}
        seen = {"seen": self.view(batch, progress, "view")}
        if progress.player == "bad generator":
            shown = {**seen, "made": self.bad_fakes(nets, batch, progress)}
            with kept_statistics(nets.encoder):
                return {name: nets.encoder(pixels) for name, pixels in shown.items()}
        if batch.support is not None:  # else a microbatch that got no row of it
            seen["support"] = self.view(batch.support, progress, "support")
        return (self._pairs if progress.player == "discriminator" else self._logits)(nets, batch, seen, progress)

    def _pairs(self, nets: Nets, batch: Batch, seen: Outputs, progress: Progress) -> Outputs:
        """The discriminator's: labelled images, others with the classifier's guess, good fakes with their class."""
        with torch.no_grad(), kept_statistics(nets.encoder):
            classes = {"seen": self.classify(nets, seen["seen"]).argmax(dim=1)}
        if batch.support is not None:
            classes["support"] = batch.support.labels
        rows = {name: nets.discriminator(view, classes[name]) for name, view in seen.items()}
        return {**rows, "made": nets.discriminator(*self.good_fakes(nets, batch, progress))}

    def _logits(self, nets: Nets, batch: Batch, seen: Outputs, progress: Progress) -> Outputs:
        """The classifier's; fakes go through by themselves, so that none moves a statistic of real images."""
        rows = {name: nets.classifier(features) for name, features in together(nets.encoder, seen).items()}
        if batch.support is not None:
            rows["labels"] = batch.support.labels
        with kept_statistics(nets.encoder):
            if self.bad:
                rows["bad"] = self.classify(nets, self.bad_fakes(nets, batch, progress))
            if self._good_weight(progress):
                made, rows["classes"] = self.good_fakes(nets, batch, progress)
                rows["good"] = self.classify(nets, made)
        if self.discriminator_confidence_weight:
            rows["judged"] = nets.discriminator(seen["seen"], rows["seen"].argmax(dim=1)).detach()
        return rows

    def compute_loss(self, nets: Nets, rows: Outputs, progress: Progress) -> Step:
        """The loss of the one whose turn it is."""
        if progress.player == "good generator":
            return Step(game.bce_gan_loss(rows["made"], real=True) / 2)
        if progress.player == "bad generator":
            alike = game.pull_away(rows["made"])
            matched = game.feature_matching(rows["made"], rows["seen"])
            return Step(matched + self.pull_away_weight * alike, {"bad_alike": alike.detach()})
        if progress.player == "discriminator":
            labelled, guessed = (game.bce_gan_loss(rows[name], real=True) for name in ("support", "seen"))
            fake = game.bce_gan_loss(rows["made"], real=False) + game.bce_gan_loss(rows["seen"], real=False)
            return Step(torch.lerp(labelled, guessed, self.pseudo_label_share) + fake / 2)
        return self._answers(rows, progress)

    def _answers(self, rows: Outputs, progress: Progress) -> Step:
        """The classifier's loss: labels, real against bad fakes, sure and even guesses, good fakes, the doubted."""
        seen, supervised = rows["seen"], labelled_cross_entropy(rows["support"], rows["labels"])
        loss = (
            supervised
            + self.entropy_weight * game.prediction_entropy(seen)
            + self.class_balance_weight * game.class_imbalance(seen)
        )
        metrics = {"supervised": supervised.detach(), "seen_top_logit": seen.detach().amax(dim=1).mean()}
        if "bad" in rows:
            loss = loss + self.bad_weight * (
                game.class_evidence(seen, real=True) + game.class_evidence(rows["bad"], real=False)
            )
            metrics["bad_top_logit"] = rows["bad"].detach().amax(dim=1).mean()
        if "good" in rows:
            loss = loss + self._good_weight(progress) * labelled_cross_entropy(rows["good"], rows["classes"])
        if "judged" in rows:
            loss = loss + self.discriminator_confidence_weight * game.discriminator_confidence(seen, rows["judged"])
        return Step(loss, metrics)

    def _good_weight(self, progress: Progress) -> float:
        """What the classes of good fakes weigh: nothing while they are nothing like images."""
        return self.good_weight * min(max(progress.fraction / max(self.good_from, 1e-9) - 1, 0.0), 1.0)
