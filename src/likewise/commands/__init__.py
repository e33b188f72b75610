"""The commands behind the command line: each turns words into settings, calls the API, and prints what came of it."""

from likewise.commands.advising import advise
from likewise.commands.packing import pack
from likewise.commands.papers import methods, reproduce, study
from likewise.commands.pseudo_labelling import pseudo_label
from likewise.commands.runs import compare, embed, evaluate, export, predict, report, search
from likewise.commands.training import demo, doctor, train, verify

__all__ = [
    "advise",
    "compare",
    "demo",
    "doctor",
    "embed",
    "evaluate",
    "export",
    "methods",
    "pack",
    "predict",
    "pseudo_label",
    "report",
    "reproduce",
    "search",
    "study",
    "train",
    "verify",
]
