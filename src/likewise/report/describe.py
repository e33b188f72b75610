"""A method's description for help, pages and tables, read from its class."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

from likewise.methods.card import Preset
from likewise.methods.method import Method

LABELS = {
    "no labels": "without labels",
    "some labels": "with some labels",
    "all labels": "with all labels",
}
"""The groups of methods by the labels that they are for, in the order of help and tables."""


def needs_of(kind: type[Method]) -> str:
    """What a method must be given besides images."""
    card = kind.card
    return f"{card.needs}, {card.also_needs}" if card.also_needs else card.needs


def setting_docs(kind: type) -> dict[str, str]:
    """The documentation under each field of a dataclass, inherited ones included."""
    docs: dict[str, str] = {}
    for ancestor in reversed(kind.__mro__):
        if dataclasses.is_dataclass(ancestor):
            found = re.findall(
                r'^    (\w+): [^\n]*\n    """(.*?)"""', inspect.getsource(ancestor), re.M | re.S
            )
            docs |= {name: " ".join(text.split()) for name, text in found}
    return {field.name: docs.get(field.name, "") for field in dataclasses.fields(kind)}


def format_setting(value: object) -> str:
    """A setting's value as Python would write it; of a view policy what differs from the defaults."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = ", ".join(f"{name}={text}" for name, text in changes(value))
        return f"{type(value).__name__}({changed})"
    return f"{value:.4g}" if isinstance(value, float) else repr(value)


def changes(value: Any) -> Iterator[tuple[str, str]]:
    """The fields of a settings object that are not at their defaults."""
    for field in dataclasses.fields(value):
        if getattr(value, field.name) != field.default:
            yield field.name, format_setting(getattr(value, field.name))


def training_of(preset: Preset) -> str:
    """Optimiser, rate, batch and length of a preset in words."""
    recipe = preset.recipe
    decayed = "" if recipe.exclude_bias_and_norm else " on all parameters"
    ends = ""
    if recipe.start_factor or recipe.end_factor:
        ends = f", from {recipe.start_factor:.2g} to {recipe.end_factor:.2g} of the rate"
    if recipe.schedule != "cosine":
        ends += f", schedule {recipe.schedule}"
    nesterov = " with Nesterov's momentum" if recipe.nesterov else ""
    return (
        f"{recipe.optimizer}{nesterov}, rate {recipe.learning_rate:.3g} for 256 images{ends}, weight decay "
        f"{recipe.weight_decay:.2g}{decayed}; batch {preset.batch_size:,}, {preset.epochs:,} epochs"
    )


def settings_of(preset: Preset) -> list[str]:
    """A preset's settings as ``name=value``."""
    return [f"{name}={format_setting(value)}" for name, value in preset.settings.items()]
