"""Arms that learn from images without a label too: semi-supervised methods, and pre-training of one's own."""

from __future__ import annotations

import copy
import time

import torch
from torch import Tensor, nn

from likewise.adaptation.adapt import TimeLimit, default_recipe, first_head
from likewise.adaptation.adaptation import Adaptation
from likewise.adaptation.ensemble import STUDENT_SHARE, VOTERS, ensemble_pseudo_labels
from likewise.adaptation.prototypes import set_classifiers
from likewise.advice import trained_arms
from likewise.advice.arm import AdviceArm, ArmCard, Trained
from likewise.advice.candidates import StartingPoint
from likewise.advice.heads import logistic_regression, mean_of_two
from likewise.advice.trained_arms import BACKWARD, LEAST_STEPS, VIEW_SECONDS, Bench
from likewise.data.batch import UNLABELLED
from likewise.data.images import Images
from likewise.data.loader import Loader
from likewise.encoders import Encoder
from likewise.evaluation.features import extract
from likewise.methods import METHODS, Method, Nets, Recipe, with_view_size
from likewise.methods.simclr import SimCLR
from likewise.randomness import seed_networks
from likewise.runs.choices import fitted_support
from likewise.training import LoopSettings, choose_precision, train
from likewise.training.fabric_import import load_fabric
from likewise.views.centre_view import CentreView

SEMI_SUPERVISED = ("fixmatch", "comatch", "suncet")
"""from the cheapest step to the dearest"""

VIEWS = 3
"""passes of an unlabelled image, about: a weak and a strong view or two, and the labelled images"""

BATCH = 64
"""images of a step"""


class MethodArm(AdviceArm):
    """A semi-supervised method, and logistic regression on the features that it leads to.

    Args:
        card: what it is.
        method: the rule.
        start: the encoder before it.
        bench: steps.
        recipe: optimiser and schedule.
    """

    def __init__(
        self, card: ArmCard, method: Method, start: StartingPoint, bench: Bench, recipe: Recipe
    ) -> None:
        self.card = card
        self.method = method
        self.start = start
        self.bench = bench
        self.recipe = recipe
        self.expected = bench.steps * step_seconds(start)

    def seconds(self, labelled: int) -> float:
        """The last fit's, or before it what forward passes suggest."""
        return self.expected

    def fit(self, labels: Tensor, left_out: Tensor, limit: float) -> Trained | None:
        """Train a copy of the start on all images but those left out, then fit the head."""
        began, bench = time.perf_counter(), self.bench
        rows = _others(left_out, len(labels))
        loader = _loader(self.start.images.take(rows), labels[rows], self.method, bench.seed)
        encoder, steps = learn(self.method, self.start, loader, bench, self.recipe, limit)
        if steps < LEAST_STEPS * bench.steps:
            return None
        known = (labels != UNLABELLED).nonzero().flatten()
        trained = Trained(encoder, self.start.settings, nn.Identity())
        head = logistic_regression(self.features(trained, known), labels[known], bench.classes)
        self.expected = time.perf_counter() - began
        return trained._replace(head=head)

    def features(self, trained: Trained, rows: Tensor) -> Tensor:
        """A pass through the encoder."""
        return _features(trained, self.start, rows, self.bench)


class EnsembleArm(AdviceArm):
    """Several fine-tuned copies of an encoder vote on the images without a label, and one more copy learns the votes.

    Args:
        card: what it is.
        start: the encoder, with pretrained weights.
        bench: steps of each voter; those of the copy that learns are twice as many.
    """

    def __init__(self, card: ArmCard, start: StartingPoint, bench: Bench) -> None:
        self.card, self.start, self.bench = card, start, bench
        kinds = [Adaptation.parse(voter).kind for voter in VOTERS]
        passes = sum(BACKWARD[kind] for kind in kinds) + STUDENT_SHARE * BACKWARD["full"]
        views = len(kinds) + STUDENT_SHARE
        image = start.cost.forward * passes + VIEW_SECONDS * views
        self.expected = bench.steps * trained_arms.BATCH * image

    def seconds(self, labelled: int) -> float:
        """The last fit's, or before it what forward passes suggest."""
        return self.expected

    def fit(self, labels: Tensor, left_out: Tensor, limit: float) -> Trained | None:
        """Learn from all images but those left out, then fit the head on the labelled ones."""
        began, bench = time.perf_counter(), self.bench
        rows = _others(left_out, len(labels))
        found = ensemble_pseudo_labels(
            self.start.encoder,
            self.start.images.take(rows),
            labels[rows],
            bench.classes,
            steps=bench.steps,
            batch_size=trained_arms.BATCH,
            seed=bench.seed,
            device=bench.device,
            time_limit=limit,
        )
        done = min(found.student.steps / STUDENT_SHARE, *(each.steps for each in found.voters))
        if done < LEAST_STEPS * bench.steps:
            return None
        known = (labels != UNLABELLED).nonzero().flatten()
        trained = Trained(found.student.encoder, self.start.settings, found.student.head)
        head = mean_of_two(self.features(trained, known), labels[known], bench.classes)
        self.expected = time.perf_counter() - began
        return trained._replace(head=head)

    def features(self, trained: Trained, rows: Tensor) -> Tensor:
        """A pass through the encoder."""
        return _features(trained, self.start, rows, self.bench)


def ensemble_arm(start: StartingPoint, bench: Bench) -> AdviceArm:
    """Ensemble pseudo-labels (after V-PET) from pretrained weights."""
    card = ArmCard(f"{start.name}, ensemble pseudo-labels", "pretrained", unlabelled=True)
    return EnsembleArm(card, start, bench)


def step_seconds(start: StartingPoint) -> float:
    """Of a step with images without labels, by what forward passes suggest."""
    return BATCH * VIEWS * (start.cost.forward * BACKWARD["full"] + VIEW_SECONDS)


def semi_supervised_arms(start: StartingPoint, bench: Bench) -> list[AdviceArm]:
    """FixMatch, CoMatch and SuNCEt from one start."""
    arms: list[AdviceArm] = []
    for each in SEMI_SUPERVISED:
        method, pretrained = METHODS[each](), bool(start.settings.pretrained)
        name = f"{start.name}, {'' if pretrained else 'from scratch, '}{method.card.title}"
        card = ArmCard(name, "pretrained" if pretrained else "scratch", unlabelled=True)
        recipe = default_recipe(Adaptation("full")) if pretrained else method.card.recipe
        arms.append(MethodArm(card, method, start, bench, recipe))
    return arms


def pretrained_on(
    start: StartingPoint, rows: Tensor, bench: Bench, limit: float
) -> tuple[Encoder, int]:
    """SimCLR on some images, int64 [M], whose labels play no part: the encoder, and the steps done in the time."""
    method, images = SimCLR(), start.images.take(rows)
    loader = _loader(images, torch.full((len(images),), UNLABELLED), method, bench.seed)
    return learn(method, start, loader, bench, method.card.recipe, limit)


def learn(
    method: Method, start: StartingPoint, loader: Loader, bench: Bench, recipe: Recipe, limit: float
) -> tuple[Encoder, int]:
    """Train a copy of an encoder by a method: the encoder, and the steps that were done in the time.

    From pretrained weights the classifier starts from class prototypes and the batch-norm statistics stay, as in a run.
    """
    Fabric = load_fabric()

    deadline = time.perf_counter() + limit
    sized = with_view_size(method, loader.images.size, loader.images.frames)
    seed_networks(bench.seed, "heads")
    nets = sized.build(copy.deepcopy(start.encoder).requires_grad_(True), bench.classes)
    if start.settings.pretrained:
        _start_from_weights(nets, loader, bench)
    fabric = Fabric(
        accelerator=bench.device.type,
        devices=1,
        precision=choose_precision("auto", bench.device).fabric,
    )
    plan = LoopSettings(bench.steps, bench.seed, log_every=bench.steps)
    state = train(fabric, sized, nets, loader, recipe, plan, callbacks=[TimeLimit(deadline)])
    return nets.encoder.cpu().eval(), state.step


def _start_from_weights(nets: Nets, loader: Loader, bench: Bench) -> None:
    """A random classifier would make every pseudo-label unsure, and other statistics would harm the weights."""
    nets.freeze_bn_stats()
    if isinstance(getattr(nets, "classifier", None), nn.Linear):
        images, labels = loader.images, loader.labels
        head = first_head(nets.encoder, images, labels, bench.classes, bench.seed, bench.device)
        set_classifiers(nets, head)


def _others(left_out: Tensor, images: int) -> Tensor:
    """int64 [N - H]: the positions of N images, without the H that are left out."""
    usable = torch.ones(images, dtype=torch.bool)
    usable[left_out] = False
    return usable.nonzero().flatten()


def _features(trained: Trained, start: StartingPoint, rows: Tensor, bench: Bench) -> Tensor:
    """Features [B, D] of some images, int64 [B], by an encoder that was trained from a start."""
    view = CentreView(start.settings.image_size)
    return extract(trained.encoder, start.images, rows, view, batch_size=BATCH, device=bench.device)


def _loader(images: Images, labels: Tensor, method: Method, seed: int) -> Loader:
    batch = min(BATCH, max(len(images) // 2, 2))
    return Loader(images, labels, batch, seed, fitted_support(method, labels, batch))
