"""Every method for the same few steps on bundled images, scored against an untrained encoder: does it learn at all?

python benchmarks/every_method.py --steps 60          # about ten minutes on two cores

One seed and a minute of training or less tell that a method runs and learns, not which one is better.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from measuring import Table, keep
from rich.console import Console

from likewise.evaluation.evaluation import EvaluationSettings
from likewise.json_files import read_json
from likewise.methods import METHODS
from likewise.methods.distillation import DistillationMethod
from likewise.runs.run import Run
from likewise.runs.settings import TrainSettings
from likewise.runs.train_run import run_training

LABELS = {"no labels": "none", "some labels": "10", "all labels": "all"}
"""Labels of each class for a method that needs some."""

COLUMNS = {
    "neighbours": "knn20_top1",
    "linear probe": "linear_top1",
    "own classifier": "classifier_top1",
    "text-to-image recall@10": "text_to_image_r10",
}


@dataclass(frozen=True)
class Settings:
    """How long."""

    steps: int = 60
    """of each method"""
    batch: int = 128
    """images of a step"""
    seed: int = 0
    """of everything that is drawn"""
    threads: int = 2
    """threads of PyTorch"""


def share(run: Run, who: str, name: str) -> str:
    """A score of the trained or the untrained encoder, in percent; nothing where there is none."""
    scores = {score["name"]: score["value"] for score in read_json(run.folder.scores)[who]}
    return f"{100 * scores[name]:.1f}" if name in scores else ""


def main(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in METHODS.items():
            data = "fashion-pairs" if kind.modalities else "fashion-mnist-mini"
            labels, began = LABELS[kind.card.needs], time.perf_counter()
            asked = TrainSettings(
                labels=labels, steps=settings.steps, batch_size=settings.batch, seed=settings.seed, num_evals=0,
                loggers=(), out=str(Path(folder) / name),
            )  # fmt: skip
            measures = EvaluationSettings(few_label=None)
            method = kind()
            if isinstance(method, DistillationMethod) and method.requires_teacher:
                teacher = replace(asked, encoder="conv4-double", out=f"{asked.out}-teacher")
                run_training(
                    data,
                    teacher,
                    method.trains_teacher,
                    None,
                    Console(quiet=True),
                    measures=measures,
                )
                method = replace(method, teacher=str(teacher.out))
            run = run_training(data, asked, method, None, Console(quiet=True), measures=measures)
            cells = [" / ".join(filter(None, (share(run, who, score) for who in ("trained", "untrained"))))
                     for score in COLUMNS.values()]  # fmt: skip
            print(name, *cells, flush=True)
            rows.append([f"`{name}`", data, labels, *cells, f"{time.perf_counter() - began:.0f}"])
    table = Table(
        f"{settings.steps} steps of {settings.batch} images, conv4, seed {settings.seed}; percent, trained / untrained",
        ["method", "data", "labels a class", *COLUMNS, "seconds"],
        rows,
        ["Seconds are of the whole run: training, a teacher's before it, scores, page."],
    )
    keep("every_method", "Every method, for a minute", [table])


if __name__ == "__main__":
    main(tyro.cli(Settings))
