"""The commands behind the command line: each turns words into settings, calls the API, and prints what came of it.

A command's file is imported when the command is first asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

_FILES = {
    "advising": ("advise",),
    "packing": ("pack",),
    "papers": ("methods", "reproduce", "study"),
    "pseudo_labelling": ("pseudo_label",),
    "runs": ("compare", "embed", "evaluate", "export", "predict", "report", "search"),
    "training": ("demo", "doctor", "train", "verify"),
}
"""the commands of each file"""


def __getattr__(name: str) -> Any:
    for file, commands in _FILES.items():
        if name in commands:
            return getattr(importlib.import_module(f"likewise.commands.{file}"), name)
    raise AttributeError(f"module 'likewise.commands' has no attribute {name!r}")
