"""likewise learns visual similarity from however many labels you have.

>>> import likewise
>>> run = likewise.train("photos/", labels="labels.csv", out="runs/a")
>>> run.scores, run.encoder

Names are looked up when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from likewise import data, encoders, heads, losses, memory, methods, views
    from likewise.advice.advise import advise
    from likewise.claims.reproducing import reproduce
    from likewise.data.packing.pack import pack
    from likewise.errors import LikewiseError
    from likewise.evaluation.evaluate import evaluate
    from likewise.runs.api import compare, doctor, load, prepare, train, verify
    from likewise.runs.pseudo_labels import pseudo_label
    from likewise.runs.run import Run
    from likewise.studies import study
    from likewise.training.callbacks import Callback, EarlyStopping

__version__ = "0.1.0"

__all__ = [
    "Callback",
    "EarlyStopping",
    "LikewiseError",
    "Run",
    "advise",
    "compare",
    "data",
    "doctor",
    "encoders",
    "evaluate",
    "heads",
    "load",
    "losses",
    "memory",
    "methods",
    "pack",
    "prepare",
    "pseudo_label",
    "reproduce",
    "study",
    "train",
    "verify",
    "views",
]

_HOMES = {
    "Callback": "likewise.training.callbacks",
    "EarlyStopping": "likewise.training.callbacks",
    "LikewiseError": "likewise.errors",
    "Run": "likewise.runs.run",
    "advise": "likewise.advice.advise",
    "compare": "likewise.runs.api",
    "doctor": "likewise.runs.api",
    "evaluate": "likewise.evaluation.evaluate",
    "load": "likewise.runs.api",
    "pack": "likewise.data.packing.pack",
    "prepare": "likewise.runs.api",
    "pseudo_label": "likewise.runs.pseudo_labels",
    "reproduce": "likewise.claims.reproducing",
    "study": "likewise.studies",
    "train": "likewise.runs.api",
    "verify": "likewise.runs.api",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in ("data", "encoders", "heads", "losses", "memory", "methods", "views"):
        return importlib.import_module(f"likewise.{name}")
    raise AttributeError(f"module 'likewise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
