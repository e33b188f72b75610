"""Whole training runs on CIFAR-10 (JPEG) that say whether the papers' claims hold at size, in some minutes of a GPU.

python benchmarks/records_on_gpu.py --data FOLDER --minutes 9 --out $OUT/records.json

Every part is run with the first seed, in this order, then with the next, while there is time; what has been found
stands. The file is written after each run. With 9 minutes an H100, which forwards about 3.3 million views a minute,
runs the first two parts and most of the third once, or ``--parts support`` alone with two seeds. A unit is
--million-views, by default 0.12 for each minute, which lets ``support`` fit into half of them; give more where few
parts are run: ``--parts isd,comatch,out-or-in,robustness --million-views 1.5`` takes 7 to 9 minutes a seed.

- ``simclr``: SimCLR until the neighbours' accuracy of lightly's published run, 0.848; 100 epochs, 3 minutes. Lightly
  took 200 with the same recipe and files that JPEG had not spoilt, so that ``--parts simclr --record-epochs 200`` has
  the better chance, in twice the time.
- ``supcon``: SupCon beside cross-entropy with all labels, a linear classifier on both (Khosla et al. 2020); 8 units.
- ``support``: SuNCEt's support batch at 10 % and 1 % of the labels, against SimCLR at equal views, and cross-entropy
  and SupCon on the same labels (Assran et al. 2020, https://arxiv.org/abs/2006.10803). Chosen on validation images;
  ``--batch 128`` and ``--batch 1024`` are the small and the large batch. 13 units.
- ``isd``: ISD beside MoCo v2 on long-tailed classes, the rare ones apart (Tejankar et al. 2021); 2 units.
- ``comatch``: CoMatch beside FixMatch with 4 and 25 labels a class (Li, Xiong & Hoi 2021); 8 units.
- ``out-or-in``: SupCon's two losses; 2 units. ``robustness``: SupCon beside cross-entropy on corrupted images, and at
  learning rates of a fifth and of five times the usual; 3 units.

With ``--keep evidence/claims/gpu`` the outcomes of claims are written there, from which ``docs/results.md`` is made.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from gpu.packages import naming_what_is_missing

with naming_what_is_missing():
    import torch
    import tyro
    from gpu import cifar, outcomes, scores, semi_supervised, supervised, tables
    from gpu.bare_run import BareRun, Run
    from gpu.cifar import CLASSES, Cifar, Split
    from measuring import versions

    from likewise.methods import Recipe
    from likewise.methods.cross_entropy import CrossEntropy
    from likewise.methods.isd import ISD
    from likewise.methods.moco import MoCoV2
    from likewise.methods.simclr import SimCLR
    from likewise.methods.suncet import SuNCEt
    from likewise.methods.supcon import SupCon
    from likewise.training.launch import machine
    from likewise.views.policies import simclr_small, weak

PARTS = "simclr,supcon,support,isd,comatch,out-or-in,robustness"
"""In the order of their turns."""

SGD = Recipe("sgd", learning_rate=0.06, weight_decay=5e-4)
SUPCON = Recipe("sgd", learning_rate=0.125, weight_decay=5e-4)
"""The rate of the authors' run on CIFAR-10, with the weight decay of short runs."""
CROSS_ENTROPY = Recipe("sgd", learning_rate=0.2, weight_decay=5e-4)
"""The same, of their baseline."""
VIEWS = simclr_small()
RECORD = 0.848
"""kNN accuracy of lightly's SimCLR, ResNet-18, 200 epochs."""
RARE = tuple(range(5, CLASSES))
"""The classes of the long tail's rarer half."""


class OutOfTime(Exception):
    """No further run fits."""


@dataclass(frozen=True)
class Settings:
    """What to run."""

    data: Path
    """folder with cifar10-jpeg75-train.parquet and cifar10-jpeg75-test.parquet"""
    minutes: float = 9.0
    """for everything, decoding included"""
    out: Path = Path("records_on_gpu.json")
    """the result's file"""
    keep: Path | None = None
    """folder for the outcomes of claims"""
    parts: str = PARTS
    """which, with commas between them"""
    million_views: float | None = None
    """of a run of ``support``, support rows too; default: 0.12 for each minute, so that 13 fit into half of them"""
    seeds: int = 3
    """one after the other, while there is time"""
    record_epochs: int = 100
    """of ``simclr``"""
    compile: bool = False
    """compile the encoder"""
    fused_batch_norm: bool = True
    """normalise batches by the library's kernels"""
    encoder: str = "timm/resnet18"
    """of all runs"""
    device: str = "cuda"
    """cpu to try the script itself"""
    images: int | None = None
    """of each file; all if None"""
    batch: int = 512
    """images of a step"""
    looks: int = 6
    """scores of a run of ``support`` while it trains"""
    bank: int | None = None
    """training images among which ``support`` seeks neighbours; all if None"""

    def views(self) -> float:
        """Of a run of ``support``; an H100 forwards 3.3 million a minute."""
        return 1e6 * (0.12 * self.minutes if self.million_views is None else self.million_views)


@dataclass
class Session:
    """The data, the time that is left, and what was found."""

    settings: Settings
    data: Cifar
    until: float
    found: dict[str, Any]

    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    def keep(self, part: str, result: dict[str, Any]) -> None:
        """Add a result, print it, write the file."""
        self.found.setdefault(part, []).append(result)
        self.write()
        print(f"{self.left():6.0f} s left  {part}: {json.dumps(result)}", flush=True)

    def write(self) -> None:
        """The file: the runs, and their tables for ``benchmarks/results/records_on_gpu.json``."""
        page = {
            "title": "Whole runs on a GPU",
            "measured": self.found["about"],
            "tables": [asdict(table) for table in tables.tables(self.found)],
            "claims": [
                asdict(each) | {"verdict": each.verdict} for each in tables.claims(self.found)
            ],
        }
        self.settings.out.write_text(json.dumps(self.found | page, indent=1) + "\n")

    def attempt(self, part: str, work: Callable[[], None]) -> None:
        """Do a part of the work; where it fails, keep why, and go on."""
        try:
            work()
        except OutOfTime:
            raise
        except Exception as error:
            self.keep(part, {"ended": repr(error)[:600]})

    def run(
        self,
        run: Run,
        images: Split,
        views: float,
        support: Split | None = None,
        looks: int = 3,
        look: Callable[[BareRun], dict[str, float]] | None = None,
        enough: Callable[[dict[str, float]], bool] = lambda scores: False,
    ) -> tuple[BareRun, dict[str, Any]]:
        """Train one network, with a look at it now and then.

        Raises:
            OutOfTime: time is over; the run is given up.
        """
        if self.left() < 5:
            raise OutOfTime
        settings = self.settings
        run = replace(
            run,
            encoder=settings.encoder,
            compile=settings.compile,
            fused_batch_norm=settings.fused_batch_norm,
            batch=min(settings.batch, len(images)),
        )
        steps = max(looks, run.steps_of(views))
        bare = BareRun(run, images, support, steps)
        curve = []
        for number in range(looks):
            bare.train(round(steps * (number + 1) / looks) - bare.done)
            seen = {
                "views": bare.views_seen,
                "epochs": round(bare.done * run.batch / len(images), 3),
                "seconds": round(bare.seconds, 2),
                **(look(bare) if look else {}),
            }
            curve.append(seen)
            if enough(seen):
                break
            if self.left() < 1:
                raise OutOfTime
        if bare.refused:
            print("no CUDA graph:", bare.refused, flush=True)
        return bare, {
            "steps": bare.done,
            "views": bare.views_seen,
            "seconds": round(bare.seconds, 2),
            "curve": curve,
        }


def support_part(session: Session, seed: int) -> None:
    """SimCLR, then each method of `arms` with each budget of labels."""
    plain = arm("SimCLR", SimCLR(views=VIEWS), seed)
    session.attempt("support", partial(support_run, session, plain, 0, seed))
    batch, budgets = session.settings.batch, budgets_of(session.data.train)
    for name, each in product(arms(batch, most=2), budgets):
        run = arm(name, arms(batch, each)[name], seed)
        session.attempt("support", partial(support_run, session, run, each, seed, name))


def arms(batch: int, most: int) -> dict[str, Any]:
    """Methods by name; the support of 45 % of the views is that of the authors' run on ImageNet.

    Args:
        batch: images of a step.
        most: labels of each class; a support has no more.
    """
    suncet = SuNCEt(views=VIEWS, support_share=0.45)
    methods: dict[str, Any] = {
        "SuNCEt 0.45": suncet,
        "SuNCEt 0.22": replace(suncet, support_share=0.22),
        "SuNCEt 8 a class": replace(suncet, images_per_class=8),
        "SupCon": SupCon(),
        "cross-entropy": CrossEntropy(),
        "SuNCEt 0.45, half the run": replace(suncet, supervised_until=0.5),
    }
    for name, method in methods.items():
        if isinstance(method, SuNCEt):
            images = method.support.images_for_batch(batch, most=most)
            methods[name] = replace(method, images_per_class=images)
    return methods


def arm(name: str, method: Any, seed: int) -> Run:
    """A run of a method by its own views and recipe."""
    if isinstance(method, CrossEntropy):
        return Run(method, CROSS_ENTROPY, forwarded=1, seed=seed)
    recipe = SUPCON if isinstance(method, SupCon) else SGD
    return Run(method, recipe, seed=seed)


def support_run(session: Session, run: Run, each: int, seed: int, name: str = "SimCLR") -> None:
    """One run, its curve on validation images, and classifiers of its features at its end."""
    settings, train = session.settings, session.data.train
    known = train.take(cifar.labelled(train.labels, each, seed)) if each else None
    has_support = run.method.support is not None
    images = train if known is None or has_support else known
    labels = known if has_support else None
    few = labelled(train, seed)
    look = partial(support_look, session, few)
    bare, result = session.run(run, images, settings.views(), labels, settings.looks, look)
    encoder, validation = bare.nets.encoder, session.data.validation
    queries = scores.features(encoder, validation.images)
    linear: dict[str, float] = {}
    for budget_name, part in few.items():
        predicted = scores.linear(scores.features(encoder, part.images), part.labels, queries)
        linear[f"linear of {budget_name}"] = scores.share(predicted, validation.labels)
    about = {"method": name, "labels a class": each, "seed": seed, "batch": settings.batch}
    about["support"] = run.support_size
    # On the test images, for the report: nothing is chosen by it.
    test = {"knn": scores.knn_accuracy(encoder, bank_of(session), session.data.test)}
    session.keep("support", {**about, **result, "validation": linear, "test": test})


def support_look(session: Session, few: dict[str, Split], bare: BareRun) -> dict[str, float]:
    """Accuracy on validation images by neighbours among all images, and among the labelled alone."""
    encoder, validation = bare.nets.encoder, session.data.validation
    queries = scores.features(encoder, validation.images)
    found: dict[str, float] = {}
    for name, part, k in (
        ("knn", bank_of(session), 200),
        *((f"knn of {budget_name}", part, 20) for budget_name, part in few.items()),
    ):
        near = scores.features(encoder, part.images)
        k = min(k, len(part) // CLASSES)
        predicted = scores.neighbours(near, part.labels, queries, k)
        found[name] = scores.share(predicted, validation.labels)
    return found


def budgets_of(train: Split) -> list[int]:
    """Labels of each class that are 10 % and 1 %, at least two."""
    return [max(round(len(train) / CLASSES * share), 2) for share in (0.1, 0.01)]


def labelled(train: Split, seed: int) -> dict[str, Split]:
    """The labelled images of each budget."""
    found: dict[str, Split] = {}
    for each in budgets_of(train):
        place = cifar.labelled(train.labels, each, seed)
        found[f"{each} labels a class"] = train.take(place)
    return found


def bank_of(session: Session) -> Split:
    """The training images among which neighbours are sought; they are in random order."""
    return Split(*(part[: session.settings.bank] for part in session.data.train))


def simclr_part(session: Session, seed: int) -> None:
    """SimCLR as lightly runs it, until its accuracy."""
    images = session.data.everything()
    method, recipe = SimCLR(views=VIEWS, temperature=0.5), replace(SGD, learning_rate=0.12)
    epochs = session.settings.record_epochs

    def look(bare: BareRun) -> dict[str, float]:
        return {"knn": scores.knn_accuracy(bare.nets.encoder, images, session.data.test)}

    run = Run(method, recipe, seed=seed)
    views = epochs * 2 * len(images)
    _, result = session.run(
        run, images, views, looks=10, look=look, enough=lambda seen: seen["knn"] >= RECORD
    )
    result = {"epochs planned": epochs, "wanted": RECORD, "seed": seed, **result}
    session.keep("simclr", result)


def supervised_part(part: str, session: Session, seed: int) -> None:
    """The arms of a part of `gpu.supervised`, with all labels, at equal views."""
    for each in supervised.arms(part, VIEWS):
        session.attempt(part, partial(supervised_run, part, session, each, seed))


def supervised_run(part: str, session: Session, each: supervised.Arm, seed: int) -> None:
    """One run, and linear classifiers of its features."""
    run = arm(each.name, each.method, seed)
    rate = run.recipe.learning_rate * each.rate
    run = replace(run, recipe=replace(run.recipe, learning_rate=rate))
    views = each.length * session.settings.views()
    bare, result = session.run(run, session.data.everything(), views)
    found = supervised.accuracies(bare.nets.encoder, each, session.data)
    about = {"method": each.name, "rate": each.rate, "seed": seed}
    session.keep(part, {**about, **result, "test": found})


def comatch_part(session: Session, seed: int) -> None:
    """CoMatch and FixMatch by each budget of labels, at equal views."""
    for labels in semi_supervised.LABELS:
        known = session.data.train.take(cifar.labelled(session.data.train.labels, labels, seed))
        for name, run in semi_supervised.runs(session.settings.batch, seed).items():
            session.attempt("comatch", partial(comatch_run, session, name, run, known, labels))


def comatch_run(session: Session, name: str, run: Run, known: Split, labels: int) -> None:
    """One run, and the accuracy of its classifier."""
    views = 2 * session.settings.views()
    bare, result = session.run(run, session.data.train, views, known)
    found = {"classifier": semi_supervised.accuracy(run, bare.nets, session.data.test)}
    about = {"method": name, "labels a class": labels, "seed": run.seed}
    session.keep("comatch", {**about, **result, "test": found})


def isd_part(session: Session, seed: int) -> None:
    """Long-tailed classes, 100 to 1; the nearest neighbour in a balanced bank, frequent and rare classes apart."""
    train, test = session.data.train, session.data.test
    tail = train.take(cifar.long_tailed(train.labels, 100, seed))
    bank = train.take(cifar.labelled(train.labels, 500, 1))
    queue = min(4096, len(tail) // 4)
    for name, method in (
        ("ISD", ISD(queue=queue, student_views=VIEWS, teacher_views=weak())),
        ("MoCo v2", MoCoV2(queue=queue, views=VIEWS)),
    ):
        # A teacher forwards the other view.
        run = Run(method, method.card.recipe, forwarded=1, seed=seed)
        bare, result = session.run(run, tail, session.settings.views())
        known, asked = (scores.features(bare.nets.encoder, part.images) for part in (bank, test))
        predicted = scores.neighbours(known, bank.labels, asked, k=1)
        rare = torch.isin(test.labels, torch.tensor(RARE, device=test.labels.device))
        found = {
            "frequent": scores.share(predicted[~rare], test.labels[~rare]),
            "rare": scores.share(predicted[rare], test.labels[rare]),
        }
        session.keep("isd", {"method": name, "seed": seed, **result, "test": found})


RUNS: dict[str, Callable[[Session, int], None]] = {
    "simclr": simclr_part,
    "supcon": partial(supervised_part, "supcon"),
    "support": support_part,
    "isd": isd_part,
    "comatch": comatch_part,
    "out-or-in": partial(supervised_part, "out-or-in"),
    "robustness": partial(supervised_part, "robustness"),
}


def all_parts(session: Session) -> None:
    """Every part with the first seed, then with the next, while there is time."""
    names = session.settings.parts.split(",")
    unknown = [name for name in names if name not in RUNS]
    if unknown:
        raise SystemExit(f"--parts {','.join(unknown)}: choose from {','.join(RUNS)}.")
    for seed in range(session.settings.seeds):
        for name in names:
            if name != "simclr" or seed == 0:  # a record is set once
                session.attempt(name, partial(RUNS[name], session, seed))


def about(settings: Settings, device: torch.device, decoding: float) -> dict[str, Any]:
    """What the tables stand on; the decoding is in seconds."""
    return {
        "day": datetime.date.today().isoformat(),
        "machine": machine(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "encoder": settings.encoder,
        "batch": settings.batch,
        "seconds of decoding": round(decoding, 2),
        "versions": versions(),
    }


def main(settings: Settings) -> None:
    """Decode, then run what fits."""
    start = time.monotonic()
    device = torch.device(settings.device)
    torch.backends.cudnn.benchmark = True
    data = cifar.opened(settings.data, device, settings.images)
    found: dict[str, Any] = {"about": about(settings, device, time.monotonic() - start)}
    session = Session(settings, data, start + 60 * settings.minutes, found)
    try:
        all_parts(session)
    except OutOfTime:
        found["ended"] = "out of time"
    session.write()
    print(f"written to {settings.out}")
    if settings.keep is not None:
        outcomes.write(found, settings.keep)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
