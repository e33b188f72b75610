"""``likewise demo``: what labels bring, and what pre-training brings, on real photographs of clothes.

Four ways of learning from the 10,000 bundled images of Fashion-MNIST are measured by their accuracy on 2,000 test
images with 2, 4, 10, 50 and all labels a class.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from likewise.counts import amount
from likewise.data.label_budget import LabelBudget
from likewise.encoders import Encoder
from likewise.evaluation.evaluation import EvaluationSettings
from likewise.evaluation.features import extract
from likewise.evaluation.metrics.fine_tune import FineTune
from likewise.evaluation.metrics.linear_probe import LinearProbe
from likewise.evaluation.own_classifier import measure_classifier
from likewise.evaluation.statistics.confidence import WILSON, wilson
from likewise.evaluation.statistics.scores import Features
from likewise.field_types import SEED, checked_value
from likewise.json_files import write_json
from likewise.methods import Method, Recipe, with_view_size
from likewise.methods.cross_entropy import CrossEntropy
from likewise.methods.simclr import SimCLR
from likewise.methods.suncet import SuNCEt
from likewise.methods.supcon import SupCon
from likewise.report.pages.label_curve import LabelPoint, write_label_curve_page
from likewise.run_folder import make_folder
from likewise.runs.networks import build_nets
from likewise.runs.prepare import prepare
from likewise.runs.settings import TrainSettings, to_json
from likewise.runs.train_run import run_training
from likewise.training import LoopSettings, train
from likewise.training.launch import environment, launch
from likewise.views.centre_view import CentreView
from likewise.views.policies import gray_small

DATA = "fashion-mnist-mini"

LABELS_ONLY = "labels only"
SIMCLR = "SimCLR + probe"
SUNCET = "SimCLR + SuNCEt"
ALL_LABELS = "all labels (SupCon)"

VIEWS = gray_small()
"""crop, flip, brightness and contrast"""


@dataclass(frozen=True)
class DemoPlan:
    """Sizes and learning rates, chosen on images outside the test set (evidence/demo says how)."""

    budgets: tuple[int | None, ...] = (2, 4, 10, 50, None)
    """labels a class; None is all"""
    batch_size: int = 256
    """images of a pre-training step"""
    simclr_steps: int = 600
    """steps of SimCLR without labels, shared by all budgets"""
    suncet_steps: int = 100
    """steps of SuNCEt with the budget's labels, from SimCLR's encoder"""
    suncet_batch_size: int = 128
    """images of a SuNCEt step"""
    supcon_steps: int = 150
    """steps of SupCon with all labels"""
    temperature: float = 0.5
    """temperature of SimCLR's loss"""
    recipe: Recipe = field(default_factory=lambda: Recipe("sgd", 0.3, warm_up=0.1))
    """optimiser and schedule of SimCLR and SupCon"""
    suncet_recipe: Recipe = field(default_factory=lambda: Recipe("sgd", 0.1, warm_up=0.1))
    """optimiser and schedule of SuNCEt"""
    labels_only: FineTune = field(
        default_factory=lambda: FineTune(steps=800, views=replace(VIEWS, crop_area=(0.5, 1.0)))
    )
    """training of the labels-only arm, from an untrained encoder"""


QUICK = DemoPlan(
    budgets=(2, 10, None),
    simclr_steps=200,
    suncet_steps=50,
    supcon_steps=80,
    labels_only=replace(DemoPlan().labels_only, steps=400, epochs=5),
)
"""under two minutes on two cores: three budgets, shorter runs"""


class Arms:
    """The four ways of learning, on the same data; every point is an accuracy on the same test images."""

    def __init__(
        self, plan: DemoPlan, seed: int, out: Path, overwrite: bool, console: Console
    ) -> None:
        self.plan = plan
        self.seed = seed
        self.out = out
        self.overwrite = overwrite
        self.console = console
        self.prepared = prepare(
            DATA, self._settings(plan.simclr_steps), self._simclr(), plan.recipe
        )
        self.fabric, self.precision = launch()
        self.view = CentreView(self.prepared.encoder.image_size)

    def labels_only(self) -> Iterator[LabelPoint]:
        """Cross-entropy from an untrained encoder on the visible labels."""
        train_split, test = self.prepared.train, self.prepared.splits["test"]
        fine_tune = replace(self.plan.labels_only, seed=self.seed)
        for budget in self.plan.budgets:
            started = time.perf_counter()
            start = build_nets(self.prepared).encoder
            visible, classes = self._visible_labels(budget), self.prepared.manifest.classes
            nets = fine_tune.fit(self.fabric, start, train_split.images, visible, classes)
            measurement = measure_classifier(
                "classifier_top1", CrossEntropy(), nets, test.images, test.labels, self.view, {}
            )
            yield self._point(budget, measurement.predictions, started)

    def simclr(self) -> tuple[Encoder, list[LabelPoint]]:
        """Pre-training without labels, a run with its own page; then a probe on the visible labels."""
        started = time.perf_counter()
        settings = self._settings(self.plan.simclr_steps, out=str(self.out / "simclr"))
        run = run_training(
            DATA,
            settings,
            self._simclr(),
            self.plan.recipe,
            self.console,
            measures=EvaluationSettings(few_label=None),
        )
        return run.encoder, list(self._probes(run.encoder, started))

    def suncet(self, start: Encoder) -> Iterator[LabelPoint]:
        """SimCLR's encoder, trained further with the visible labels as support; then a probe on the same labels."""
        for budget in self.plan.budgets:
            started = time.perf_counter()
            plan, method = self.plan, SuNCEt(temperature=self.plan.temperature, views=VIEWS)
            visible = self._visible_labels(budget)
            encoder = self._learn(
                method,
                visible,
                plan.suncet_steps,
                plan.suncet_recipe,
                plan.suncet_batch_size,
                start,
            )
            yield self._probe(encoder, budget, started)

    def all_labels(self) -> LabelPoint:
        """SupCon on every label, then a probe on every label."""
        started = time.perf_counter()
        plan = self.plan
        visible = self._visible_labels(None)
        encoder = self._learn(
            SupCon(views=VIEWS), visible, plan.supcon_steps, plan.recipe, plan.batch_size
        )
        return self._probe(encoder, None, started)

    def _simclr(self) -> SimCLR:
        return SimCLR(temperature=self.plan.temperature, views=VIEWS)

    def _settings(self, steps: int, out: str | None = None) -> TrainSettings:
        return TrainSettings(
            labels="none",
            out=out,
            steps=steps,
            batch_size=self.plan.batch_size,
            seed=self.seed,
            num_evals=5,
            loggers=(),
            overwrite=self.overwrite,
        )

    def _learn(
        self,
        method: Method,
        visible_labels: Tensor,
        steps: int,
        recipe: Recipe,
        batch_size: int,
        start: Encoder | None = None,
    ) -> Encoder:
        """Train a method from an encoder, or from the seed's initial weights."""
        method = with_view_size(method, self.prepared.encoder.image_size)
        settings = replace(self.prepared.settings, batch_size=batch_size)
        prepared = replace(
            self.prepared, method=method, visible_labels=visible_labels, settings=settings
        )
        nets = build_nets(prepared)
        if start is not None:
            nets.encoder.load_state_dict(start.state_dict())
        train(self.fabric, method, nets, prepared.loader(), recipe, LoopSettings(steps, self.seed))
        return nets.encoder

    def _visible_labels(self, budget: int | None) -> Tensor:
        """int64 [N]: the training labels within a budget."""
        manifest = self.prepared.train.manifest
        return LabelBudget(per_class=budget, seed=self.seed).apply(manifest.labels, manifest.ids)

    def _probes(self, encoder: Encoder, started: float) -> Iterator[LabelPoint]:
        """A probe for every budget; the first one's time includes the pre-training."""
        for budget in self.plan.budgets:
            yield self._probe(encoder, budget, started)
            started = time.perf_counter()

    def _probe(self, encoder: Encoder, budget: int | None, started: float) -> LabelPoint:
        """Accuracy of a linear probe on a budget's labels; its L2 strength is chosen within them."""
        bank = Features(self._features(encoder, "train"), self._visible_labels(budget))
        fitted = LinearProbe(seed=self.seed).fit(bank)
        return self._point(budget, fitted.predict(self._features(encoder, "test")), started)

    def _features(self, encoder: Encoder, split: str) -> Tensor:
        part = self.prepared.splits[split]
        return extract(encoder, part.images, torch.arange(len(part.manifest)), self.view)

    def _point(self, budget: int | None, predictions: Tensor, started: float) -> LabelPoint:
        labels = self.prepared.splits["test"].labels
        share = float((predictions == labels).double().mean())
        return LabelPoint(budget, *wilson(share, len(labels)), time.perf_counter() - started)


def run_demo(
    out: Path, quick: bool, seed: int, overwrite: bool, console: Console
) -> dict[str, list[LabelPoint]]:
    """Train the four arms, print the table and the sentence, and write the page.

    Raises:
        LikewiseError: the output folder is not empty and ``overwrite`` is not set, or the seed is out of range.
    """
    checked_value("seed", seed, int, SEED)
    plan, started = QUICK if quick else DemoPlan(), time.perf_counter()
    make_folder(out, ("demo.json", "demo.html"), overwrite)
    arms = Arms(plan, seed, out, overwrite, console)
    points = _train_arms(arms, console)
    sentence = gains_in_words(points)
    most = int(min(torch.bincount(arms.prepared.train.labels)))
    page = _write_page(out, arms, points, sentence, most)
    seconds = time.perf_counter() - started
    stored_points = {}
    for name, line in points.items():
        stored_points[name] = [point._asdict() for point in line]
    content = {
        "plan": to_json(plan),
        "seed": seed,
        "seconds": seconds,
        "environment": environment(arms.fabric, arms.precision),
        "sentence": sentence,
        "points": stored_points,
    }
    write_json(out / "demo.json", content)
    console.print(_table(points, plan.budgets, most))
    console.print(f"\n{sentence}\n\npage  {page}\ntook  {seconds:.0f} s", highlight=False)
    return points


def _train_arms(arms: Arms, console: Console) -> dict[str, list[LabelPoint]]:
    """The points of each arm, in the order of the page."""
    points: dict[str, list[LabelPoint]] = {LABELS_ONLY: [], SIMCLR: [], SUNCET: [], ALL_LABELS: []}
    console.print("[bold]1 of 4[/bold]  SimCLR: no labels")
    encoder, points[SIMCLR] = arms.simclr()
    console.print(
        "[bold]2 of 4[/bold]  SimCLR + SuNCEt: a few labels, one short run from SimCLR's encoder for each budget"
    )
    points[SUNCET] = _printed(arms.suncet(encoder), console)
    console.print(
        "[bold]3 of 4[/bold]  labels only: cross-entropy from an untrained network, for each budget"
    )
    points[LABELS_ONLY] = _printed(arms.labels_only(), console)
    console.print("[bold]4 of 4[/bold]  SupCon: every label")
    points[ALL_LABELS] = _printed([arms.all_labels()], console)
    return points


def _write_page(
    out: Path, arms: Arms, points: Mapping[str, list[LabelPoint]], sentence: str, most: int
) -> Path:
    """Write ``demo.html``; ``most`` is how many labels of each class all labels are."""
    train_images = len(arms.prepared.train.manifest)
    test_images = len(arms.prepared.splits["test"].manifest)
    facts = [
        f"Data: {DATA}, {amount(train_images, 'image')} to train on and {test_images:,} to test on, ten kinds of "
        f"clothes, 28x28 gray.",
        f"Network: {arms.prepared.encoder.name}, {arms.fabric.device}, seed {arms.seed}; every setting in demo.json.",
        "Probe: logistic regression on the frozen encoder; its L2 strength is chosen by cross-validation within the "
        "visible labels. No choice was made on the test images.",
    ]
    commands = [
        ("The page of the SimCLR run", f"open {out / 'simclr' / 'report.html'}"),
        ("Your own photographs", "likewise train photos/ --labels labels.csv"),
    ]
    return write_label_curve_page(
        points,
        sentence,
        out / "demo.html",
        all_labels=most,
        facts=facts,
        intervals=f"Intervals: {WILSON}; one draw of the labels.",
        commands=commands,
    )


def _printed(points: Iterable[LabelPoint], console: Console) -> list[LabelPoint]:
    """The points, each printed as soon as it is there."""
    printed = []
    for point in points:
        each = point.labels_per_class
        labels = "all labels" if each is None else f"{each} labels a class"
        console.print(f"  {labels}: {point.value:.3f} in {point.seconds:.0f} s", highlight=False)
        printed.append(point)
    return printed


def gains_in_words(points: Mapping[str, list[LabelPoint]]) -> str:
    """One sentence: the gain of more labels without pre-training, and of pre-training with the same labels."""
    only, simclr, suncet = (_by_budget(points[name]) for name in (LABELS_ONLY, SIMCLR, SUNCET))
    few = [budget for budget in only if budget is not None]
    least, most = only[few[0]], only[few[-1]]
    gains: list[str] = []
    for budget in few:
        gain = max(simclr[budget], suncet[budget]) - only[budget]
        gains.append(f"{100 * gain:+.1f} with {budget}")
    return (
        f"Labels only: going from {few[0]} to {few[-1]} a class changed accuracy by {100 * (most - least):+.1f} "
        f"points, and from there to all by {100 * (only[None] - most):+.1f}; pre-training on the same images without "
        f"labels, in points over labels only: {', '.join(gains)} labels a class (the better of its two arms)."
    )


def _by_budget(line: list[LabelPoint]) -> dict[int | None, float]:
    """Accuracy by labels a class."""
    return {point.labels_per_class: point.value for point in line}


def _table(
    points: Mapping[str, list[LabelPoint]], budgets: tuple[int | None, ...], most: int
) -> Table:
    table = Table(
        "labels a class", *[str(budget or f"all ({most:,})") for budget in budgets], "seconds"
    )
    for name, line in points.items():
        values = _by_budget(line)
        cells = [f"{values[budget]:.3f}" if budget in values else "" for budget in budgets]
        table.add_row(name, *cells, f"{sum(point.seconds for point in line):.0f}")
    return table
