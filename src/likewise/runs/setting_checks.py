"""Types and ranges of a run's settings, checked before anything is opened or written."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import torch

from likewise.adaptation import Adaptation
from likewise.errors import LikewiseError
from likewise.runs.settings import TrainSettings

DataclassT = TypeVar("DataclassT")

NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "True or False", type(None): "None"}
"""types as messages call them"""


class Range(NamedTuple):
    """The values that a number may have."""

    low: float
    high: float = math.inf
    includes_low: bool = True
    includes_high: bool = True

    def __contains__(self, value: float) -> bool:  # type: ignore[override]
        above = self.low < value or (self.includes_low and value == self.low)
        below = value < self.high or (self.includes_high and value == self.high)
        return above and below

    def __str__(self) -> str:
        low = f"{self.low} or more" if self.includes_low else f"above {self.low}"
        if self.high == math.inf:
            return low
        return f"{low} and {'at most' if self.includes_high else 'below'} {self.high}"


ABOVE_ZERO = Range(0, includes_low=False)
SHARE = Range(0, 1)
INNER_SHARE = Range(0, 1, includes_low=False, includes_high=False)

RANGES: Mapping[str, Range] = {
    "image_size": Range(8),
    "frames": Range(1),
    "frame_rate": ABOVE_ZERO,
    "epochs": ABOVE_ZERO,
    "steps": Range(1),
    "microbatch": Range(1),
    "accumulate_grad_batches": Range(1),
    "clip_grad_norm": ABOVE_ZERO,
    "model_ema_decay": INNER_SHARE,
    "encoder_lr_scale": ABOVE_ZERO,
    "devices": Range(0),
    "num_workers": Range(-1),
    "max_bad": SHARE,
    "num_evals": Range(0),
    "save_every": Range(1),
    "caption_noise": SHARE,
    "seconds": ABOVE_ZERO,
    "val_fraction": INNER_SHARE,
    "test_fraction": INNER_SHARE,
    "imbalance_ratio": Range(1),
    "imbalance_rare": SHARE,
    "label_noise": Range(0, 1, includes_high=False),
    "seed": Range(0),
}
"""of the settings that are numbers"""


def check_settings(settings: TrainSettings) -> None:
    """Refuse settings that contradict each other or lie outside their range.

    Raises:
        LikewiseError: with the option's name.
    """
    if settings.resume and settings.overwrite:
        raise LikewiseError("--resume continues a run and --overwrite deletes it; give one of them.")
    if settings.allow_missing and settings.pretrained_weights in ("", "lite0", "timm"):
        raise LikewiseError(
            f"--allow-missing was given with --pretrained {settings.pretrained or 'none'}; it belongs to a file of "
            f"weights: --pretrained path/to/weights.pth --allow-missing."
        )
    if settings.pretrained_weights and settings.from_run:
        raise LikewiseError("--pretrained and --from both name a start; give one of them.")
    if settings.adapt is not None:
        Adaptation.parse(settings.adapt)
    for name, allowed in RANGES.items():
        value = getattr(settings, name)
        if isinstance(value, int | float) and value not in allowed:
            raise LikewiseError(f"--{name.replace('_', '-')} {value} was given; it must be {allowed}.")


def with_checked_types(given: DataclassT) -> DataclassT:
    """The same settings, with values converted to the fields' types: a path to a string, a list to a tuple.

    Args:
        given: an instance of a dataclass whose annotations name the types.

    Raises:
        LikewiseError: a value is of another type; the message names the field, the value and what it takes.
    """
    hints = typing.get_type_hints(type(given))
    changes = {}
    for field in dataclasses.fields(given):  # type: ignore[arg-type]
        value = getattr(given, field.name)
        changed = _converted(value, hints[field.name])
        if not _fits(changed, hints[field.name]):
            takes = _in_words(hints[field.name])
            kind = type(value).__name__
            raise LikewiseError(f"{field.name}={_shortened(value)} was given ({kind}); {field.name} takes {takes}.")
        if changed is not value:
            changes[field.name] = changed
    return dataclasses.replace(given, **changes) if changes else given  # type: ignore[type-var]


def _converted(value: Any, hint: Any) -> Any:
    """A value converted to the type of the hint, where it is of an equivalent type."""
    wanted = _alternatives(hint)
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, Path) and str in wanted and Path not in wanted:
        return str(value)
    if isinstance(value, list) and any(typing.get_origin(part) is tuple for part in wanted):
        return tuple(value)
    if isinstance(value, Integral) and not isinstance(value, bool | int):
        return int(value)  # of NumPy, which JSON cannot write
    if isinstance(value, Real) and not isinstance(value, int | float):
        return float(value)
    return value


def _fits(value: Any, hint: Any) -> bool:
    return any(_is_a(value, part) for part in _alternatives(hint))


def _is_a(value: Any, kind: Any) -> bool:
    """Whether a value is of a type that is no union."""
    if kind is Any:
        return True
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and _items_fit(value, arguments)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, origin or kind)


def _items_fit(values: tuple[Any, ...], kinds: tuple[Any, ...]) -> bool:
    if kinds[-1] is Ellipsis:
        return all(_fits(value, kinds[0]) for value in values)
    return len(values) == len(kinds) and all(_fits(value, kind) for value, kind in zip(values, kinds, strict=True))


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _in_words(hint: Any) -> str:
    return " or ".join(_type_in_words(part) for part in _alternatives(hint))


def _type_in_words(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return " or ".join(repr(choice) for choice in arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"a list, each item {_in_words(arguments[0])}"
    if origin is tuple:
        return f"{len(arguments)} values, each {_in_words(arguments[0])}"
    return NAMES.get(kind) or f"a {getattr(kind, '__name__', kind)}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
