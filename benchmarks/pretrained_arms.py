"""The data and the arms of `pretrained_semi_supervised.py`."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from likewise.adaptation import (
    adapt,
    ensemble_pseudo_labels,
    propagate_labels,
    prototype_classifier,
)
from likewise.adaptation.prototypes import set_classifiers
from likewise.classification import fit_head
from likewise.data.batch import UNLABELLED, Pixels
from likewise.data.images import DecodedRows, InMemoryImages
from likewise.data.loader import Loader
from likewise.encoders import Encoder, build_encoder, choose_encoder
from likewise.evaluation.features import extract
from likewise.methods import METHODS, Recipe, with_view_size
from likewise.randomness import generator, seed_networks
from likewise.training import LoopSettings, train
from likewise.training.launch import DeviceKind
from likewise.training.memory_layout import channels_last
from likewise.training.precision import choose_precision
from likewise.views.centre_view import CentreView

CLASSES = 10

NEIGHBOURS = 20
"""of a test image among the training images whose propagated labels it takes"""

VOTERS = ("lora", "last:2", "full")

STUDENT_SHARE = 2
"""training images of the student over those of a voter"""

VIEWS = {"fixmatch": 2, "comatch": 3, "suncet": 2}
"""of each unlabelled image in a step"""

QUEUE_BATCHES = 5
"""of which CoMatch remembers the embeddings, as in its paper"""


@dataclass(frozen=True)
class Settings:
    """What to run, and how long."""

    data: Path
    """folder with the Parquet files"""
    out: Path = Path("pretrained_semi_supervised_runs.json")
    """file of the runs"""
    unlabelled: int = 2000
    """training images, labelled ones among them"""
    validation: int = 1000
    """other training images, by which learning rates are chosen"""
    test: int = 2000
    """test images"""
    size: int = 48
    """side in pixels at which images are shown"""
    budgets: tuple[int, ...] = (4, 25, 100)
    """labels of each class"""
    seeds: int = 3
    """draws of labels"""
    views: int = 3000
    """images that an arm sends through the encoder in training"""
    rate_views: int = 2000
    """the same for the choice of a learning rate"""
    batch: int = 32
    """images of a step of labels-only arms, voters and students"""
    unlabelled_batch: int = 24
    """unlabelled images of a step of semi-supervised methods"""
    images_per_class: int = 2
    """labelled images of each class in a step of semi-supervised methods"""
    only: tuple[str, ...] = ()
    """names of arms; none: all"""
    device: DeviceKind = "auto"
    """where"""
    publish: bool = False
    """run nothing: write the tables of what the file holds"""


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


class Data(NamedTuple):
    """What all arms share."""

    encoder: Encoder
    images: OnDevice
    labels: Tensor
    """int64 [N], all of them"""
    features: Tensor
    """float32 [N, D], frozen"""
    validation: Questions
    test: Questions


class Questions(NamedTuple):
    """Images whose classes an arm has to say."""

    images: OnDevice
    labels: Tensor
    """int64 [M]"""
    features: Tensor
    """float32 [M, D], frozen"""


@dataclass(frozen=True)
class Case:
    """One budget and seed of an arm."""

    data: Data
    questions: Questions
    labels: Tensor
    """int64 [N], -1 where hidden"""
    seed: int
    views: int
    """images through the encoder in training"""
    rates: Mapping[str, float]
    """learning rates by the name of what learns, for a batch of 256"""
    settings: Settings
    device: torch.device

    def recipe(self, name: str) -> Recipe:
        """AdamW with a cosine."""
        return Recipe("adamw", self.rates[name], weight_decay=0.01, warm_up=0.1)


# The data.


def read_images(
    folder: Path, split: str, rows: slice, size: int, device: torch.device
) -> tuple[OnDevice, Tensor]:
    """Some images of a fixed random order, shown at a size, on the device; and their labels."""
    (path,) = sorted(folder.glob(f"cifar10*{split}*.parquet"))
    table = pq.read_table(path, columns=["image", "label"])
    order = torch.randperm(len(table), generator=generator(0, split))[rows].sort().values.numpy()
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


def read_data(settings: Settings, device: torch.device) -> Data:
    """Images, labels and frozen features."""
    chosen = choose_encoder(
        "auto", settings.size, (0.5,) * 3, (0.5,) * 3, pretrained="lite0"
    )  # lite0's mean and std
    encoder = build_encoder(chosen).to(device).eval()
    channels_last(encoder)

    def questions(split: str, rows: slice) -> Questions:
        images, labels = read_images(settings.data, split, rows, settings.size, device)
        return Questions(images, labels, features_of(encoder, images, device, settings.size))

    first, second = settings.unlabelled, settings.unlabelled + settings.validation
    train_part = questions("train", slice(0, first))
    return Data(
        encoder,
        train_part.images,
        train_part.labels,
        train_part.features,
        validation=questions("train", slice(first, second)),
        test=questions("test", slice(0, settings.test)),
    )


def shown_labels(labels: Tensor, budget: int, seed: int) -> Tensor:
    """So many labels of each class, drawn by the seed; -1 elsewhere."""
    shown = torch.full_like(labels, UNLABELLED)
    for number in range(CLASSES):
        members = (labels == number).nonzero().flatten()
        order = torch.randperm(len(members), generator=generator(seed, "labels", number))
        shown[members[order[:budget]]] = number
    return shown


def features_of(encoder: nn.Module, images: OnDevice, device: torch.device, size: int) -> Tensor:
    """Frozen features, float32 [N, D], in bfloat16 where the device has it."""
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        return extract(encoder, images, torch.arange(len(images)), CentreView(size), device=device)


def predicted(encoder: nn.Module, head: nn.Module, case: Case) -> Tensor:
    """Classes of the images in question."""
    features = features_of(encoder, case.questions.images, case.device, case.settings.size)
    with torch.no_grad():
        return head.cpu()(features).argmax(dim=1)


# The arms.


def class_means(case: Case) -> Answer:
    """Nearest class mean on frozen features."""
    head = prototype_classifier(case.data.features, case.labels, CLASSES)
    return Answer(head(case.questions.features).detach().argmax(dim=1))


def probe(case: Case) -> Answer:
    """Logistic regression on frozen features."""
    head = fit_head(case.data.features, case.labels, CLASSES, case.seed).head
    return Answer(head(case.questions.features).argmax(dim=1))


def propagation(case: Case) -> Answer:
    """Label propagation among the training images; another image takes the labels of its neighbours there."""
    spread = propagate_labels(case.data.features, case.labels, CLASSES)  # [N, K]
    bank = functional.normalize(case.data.features)
    classes = []
    for part in functional.normalize(case.questions.features).split(1000):
        near = (part @ bank.T).topk(min(NEIGHBOURS, len(bank)), dim=1)
        weights = near.values.clamp_min(0).pow(3)  # [n, k]
        classes.append((weights[:, :, None] * spread[near.indices]).sum(dim=1).argmax(dim=1))
    return Answer(torch.cat(classes))


def labels_only(adaptation: str, freeze_bn_stats: bool = True) -> Callable[[Case], Answer]:
    """Fine-tuning on the labels."""

    def arm(case: Case) -> Answer:
        batch = case.settings.batch
        tuned = adapt(
            case.data.encoder, case.data.images, case.labels, CLASSES, adaptation,
            steps=case.views // batch, batch_size=batch, seed=case.seed, device=case.device,
            recipe=case.recipe(adaptation), freeze_bn_stats=freeze_bn_stats,
        )  # fmt: skip
        return Answer(predicted(tuned.encoder, tuned.head, case), tuned.steps)

    return arm


def ensemble(case: Case) -> Answer:
    """Votes of three adapted encoders, and a student; their training images together are those of another arm."""
    batch = case.settings.batch
    steps = case.views // (len(VOTERS) + STUDENT_SHARE) // batch
    found = ensemble_pseudo_labels(
        case.data.encoder, case.data.images, case.labels, CLASSES, VOTERS, "full", steps=steps,
        student_steps=STUDENT_SHARE * steps, batch_size=batch, seed=case.seed, device=case.device,
        recipes={name: case.recipe(name) for name in ("lora", "full")},
    )  # fmt: skip
    done = sum(voter.steps for voter in found.voters) + found.student.steps
    return Answer(predicted(found.student.encoder, found.student.head, case), done)


def semi_supervised(name: str, from_class_means: bool = True) -> Callable[[Case], Answer]:
    """A method of the library from the pretrained start, its classifier from class means where it has one."""

    def arm(case: Case) -> Answer:
        settings, data = case.settings, case.data
        batch, labelled = settings.unlabelled_batch, CLASSES * settings.images_per_class
        queue = {"queue": QUEUE_BATCHES * (batch + labelled)} if name == "comatch" else {}
        method = with_view_size(METHODS[name](**queue), settings.size)
        seed_networks(case.seed, name)
        nets = method.build(copy.deepcopy(data.encoder), CLASSES)
        if from_class_means:
            set_classifiers(nets, prototype_classifier(data.features, case.labels, CLASSES))
        nets.freeze_bn_stats()
        assert method.support is not None
        support = replace(method.support, images=settings.images_per_class)
        loader = Loader(data.images, case.labels, batch, case.seed, support)
        steps = case.views // (VIEWS[name] * batch + labelled)
        fabric = Fabric(
            accelerator=case.device.type,
            devices=1,
            precision=choose_precision("auto", case.device).fabric,
        )
        plan = LoopSettings(steps, case.seed, log_every=steps)
        done = train(fabric, method, nets, loader, case.recipe(name), plan).step
        networks = method.classifier(nets)
        if networks is None:
            features = features_of(nets.encoder, data.images, case.device, settings.size)
            networks = nets.encoder, fit_head(features, case.labels, CLASSES, case.seed).head
        return Answer(predicted(*networks, case), done)

    return arm


FIRST: Mapping[str, Callable[[Case], Answer]] = {
    "class means, frozen": class_means,
    "probe, frozen": probe,
    "label propagation, frozen": propagation,
    "full, labels only": labels_only("full"),
    "lora, labels only": labels_only("lora"),
    "fixmatch": semi_supervised("fixmatch"),
    "ensemble-pseudo-labels": ensemble,
    "comatch": semi_supervised("comatch"),
    "suncet": semi_supervised("suncet"),
}

SECOND: Mapping[str, Callable[[Case], Answer]] = {
    "fixmatch, random classifier": semi_supervised("fixmatch", from_class_means=False),
    "full, labels only, moving statistics": labels_only("full", freeze_bn_stats=False),
}
"""What the start from class means and the statistics of pre-training are worth; after all of the first."""
