"""Whether values have the types that annotations name, and their ranges: settings, arguments, and files read again."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

import numpy as np
import torch

from likewise.counts import amount
from likewise.errors import LikewiseError, WrongArgument, did_you_mean
from likewise.torch_defaults import torch_defaults

DataclassT = TypeVar("DataclassT")
RecordT = TypeVar("RecordT")
P = ParamSpec("P")
ResultT = TypeVar("ResultT")

LONGEST = 1024
"""characters of a text; a file's name may have 255, and a path on Linux 4,096 bytes"""

NAMES = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "True or False",
    type(None): "None",
}
"""types as messages call them"""


class Range(NamedTuple):
    """The values that a number may have; it is never infinite, nor NaN."""

    low: float
    high: float = math.inf
    includes_low: bool = True
    includes_high: bool = True

    def __contains__(self, value: float) -> bool:  # type: ignore[override]
        above = self.low < value or (self.includes_low and value == self.low)
        below = value < self.high or (self.includes_high and value == self.high)
        # A whole number is finite, and may be too large to be a float.
        return above and below and (isinstance(value, int) or math.isfinite(value))

    def refusal(self, value: float) -> str:
        """What a value outside it must be."""
        infinite = isinstance(value, float) and not math.isfinite(value)
        return f"it must be {self}, and finite." if infinite else f"it must be {self}."

    def __str__(self) -> str:
        low = f"{self.low} or more" if self.includes_low else f"above {self.low}"
        if self.high == math.inf:
            return low
        return f"{low} and {'at most' if self.includes_high else 'below'} {self.high}"


ABOVE_ZERO = Range(0, includes_low=False)
SIZE = Range(1, 2**31 - 1)
"""of rows, pixels, channels or steps"""
COUNT = Range(0, 2**31 - 1)
SEED = COUNT
"""Of seeds that are told apart, also where one is added to another; a key of random numbers holds 32 bits."""
SHARE = Range(0, 1)
INNER_SHARE = Range(0, 1, includes_low=False, includes_high=False)


def checked_arguments(**ranges: Range) -> Callable[[Callable[P, ResultT]], Callable[P, ResultT]]:
    """Check the arguments of a public function by its annotations, and by ranges; then run it with PyTorch's defaults.

    Args:
        ranges: of the arguments that are numbers.
    """

    def decorate(function: Callable[P, ResultT]) -> Callable[P, ResultT]:
        return typed_arguments(**ranges)(torch_defaults()(function))

    return decorate


def typed_arguments(**ranges: Range) -> Callable[[Callable[P, ResultT]], Callable[P, ResultT]]:
    """Check the arguments of a part for loops of a user's own, which follows the user's defaults of PyTorch.

    Args:
        ranges: of the arguments that are numbers.
    """

    def decorate(function: Callable[P, ResultT]) -> Callable[P, ResultT]:
        signature = inspect.signature(function)
        called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
        # At the first call, when all are defined.
        hints_of = functools.cache(lambda: typing.get_type_hints(function))

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> ResultT:
            bound = _bound(called, signature, args, kwargs)
            hints = hints_of()
            for name, value in bound.arguments.items():
                if (
                    name not in hints
                    or signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
                ):
                    continue
                bound.arguments[name] = checked_value(name, value, hints[name], ranges.get(name))
            return function(*bound.args, **bound.kwargs)

        return checked

    return decorate


def check_fields(instance: Any, **ranges: Range) -> None:
    """Check the fields of a dataclass by their annotations, in its ``__post_init__``; lists become tuples.

    Args:
        instance: the dataclass.
        ranges: of the fields that are numbers.

    Raises:
        LikewiseError: a value is of another type; the message names the field.
    """
    for name, value in _changed_fields(instance, ranges).items():
        object.__setattr__(instance, name, value)


def _changed_fields(instance: Any, ranges: Mapping[str, Range]) -> dict[str, Any]:
    """The fields of a dataclass whose values are converted to their types; all are checked."""
    hints = _hints_of_class(type(instance))
    changes = {}
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        changed = checked_value(field.name, value, hints[field.name], ranges.get(field.name))
        if changed is not value:
            changes[field.name] = changed
    return changes


@functools.cache
def _hints_of_class(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _bound(
    name: str, signature: inspect.Signature, args: Any, kwargs: Any
) -> inspect.BoundArguments:
    """Arguments by name; one that is absent or unknown is named."""
    known = [each for each in signature.parameters if each != "self"]
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        unknown = next((each for each in kwargs if each not in signature.parameters), None)
        hint = did_you_mean(unknown, known) if unknown else f"It takes {', '.join(known)}."
        raise LikewiseError(f"{name}(): {error}. {hint}") from None


def checked_value(name: str, value: Any, hint: Any, allowed: Range | None = None) -> Any:
    """The value of an argument, converted to its type.

    Args:
        name: of the argument.
        value: what was given.
        hint: its annotation.
        allowed: its range, if it is a number.

    Raises:
        LikewiseError: it is of another type or outside its range.
    """
    changed = _converted(value, hint)
    if not fits(changed, hint):
        kind = type(value).__name__
        raise WrongArgument(
            name, _shortened(value), f"was given ({kind}); {name} takes {in_words(hint)}."
        )
    if isinstance(changed, str) and (len(changed) > LONGEST or "\0" in changed):
        raise WrongArgument(
            name,
            _shortened(value),
            f"was given; {name} takes a text of at most {LONGEST} characters, none of them the null character.",
        )
    if allowed is not None and isinstance(changed, int | float) and changed not in allowed:
        raise WrongArgument(name, str(changed), f"was given; {allowed.refusal(changed)}")
    return changed


def with_checked_types(given: DataclassT) -> DataclassT:
    """The same settings, with values converted to the fields' types: a path to a string, a list to a tuple.

    Args:
        given: an instance of a dataclass whose annotations name the types.

    Raises:
        LikewiseError: a value is of another type; the message names the field, the value and what it takes.
    """
    changes = _changed_fields(given, {})
    return dataclasses.replace(given, **changes) if changes else given  # type: ignore[type-var]


def record_of(kind: type[RecordT], content: Mapping[str, Any]) -> RecordT:
    """An instance of a dataclass or named tuple from a JSON object, whose lists become tuples where those are meant.

    Raises:
        LikewiseError: a name is unknown, or a value of another type.
        TypeError: a name is absent that has no default, or the content is no object.
    """
    hints = typing.get_type_hints(kind)
    values = {}
    for name, value in dict(content).items():
        if name not in hints:
            raise LikewiseError(f"{name!r} is unknown")
        values[name] = _converted(value, hints[name])
        if not fits(values[name], hints[name]):
            raise LikewiseError(f"{name}={_shortened(value)} should be {in_words(hints[name])}")
    return kind(**values)


def _converted(value: Any, hint: Any) -> Any:
    """A value converted to the type of the hint, where it is of an equivalent type."""
    wanted = _alternatives(hint)
    if type(value) in wanted:
        return value
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, Path) and str in wanted and Path not in wanted:
        return str(value)
    if isinstance(value, list) and any(typing.get_origin(part) is tuple for part in wanted):
        return tuple(value)
    sequences = [part for part in wanted if typing.get_origin(part) is Sequence]
    if isinstance(value, np.ndarray | torch.Tensor) and sequences and value.ndim == 1:
        value = value.tolist()
    if isinstance(value, list | tuple) and sequences:
        return [_converted(each, typing.get_args(sequences[0])[0]) for each in value]
    if isinstance(value, Integral) and not isinstance(value, bool | int):
        return int(value)  # of NumPy, which JSON cannot write
    if isinstance(value, Real) and not isinstance(value, int | float):
        return float(value)
    return value


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type, written as an annotation: ``list[int] | None``, ``Literal["a", "b"]``."""
    return any(_is_a(value, part) for part in _alternatives(hint))


def _is_a(value: Any, kind: Any) -> bool:
    """Whether a value is of a type that is no union."""
    if kind is Any or isinstance(kind, TypeVar):
        return True
    if getattr(kind, "_is_protocol", False):
        return all(hasattr(value, name) for name in _members(kind))
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and _items_fit(value, arguments)
    if origin is Sequence:
        return (
            isinstance(value, Sequence)
            and not isinstance(value, str | bytes)
            and all(fits(v, arguments[0]) for v in value)
        )
    if origin is list and arguments:
        return isinstance(value, list) and all(fits(each, arguments[0]) for each in value)
    if origin is dict and arguments:
        return isinstance(value, dict) and all(fits(each, arguments[1]) for each in value.values())
    if kind in (int, float):
        return isinstance(value, int if kind is int else int | float) and not isinstance(
            value, bool
        )
    return isinstance(value, origin or kind)


def _members(protocol: Any) -> list[str]:
    """What a protocol asks for."""
    methods = {"__len__", "__getitem__", "__call__"}
    return [name for name in vars(protocol) if name in methods or not name.startswith("_")]


def _items_fit(values: tuple[Any, ...], kinds: tuple[Any, ...]) -> bool:
    if kinds[-1] is Ellipsis:
        return all(fits(value, kinds[0]) for value in values)
    return len(values) == len(kinds) and all(
        fits(value, kind) for value, kind in zip(values, kinds, strict=True)
    )


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def in_words(hint: Any) -> str:
    """A type as messages name it."""
    return " or ".join(_typein_words(part) for part in _alternatives(hint))


def _typein_words(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return " or ".join(repr(choice) for choice in arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"a list, each item {in_words(arguments[0])}"
    if origin is tuple:
        return f"{amount(len(arguments), 'value')}, each {in_words(arguments[0])}"
    if origin is Sequence:
        return f"a list, each item {in_words(arguments[0])}"
    if origin is list or kind is list:
        return "a list"
    if origin is dict or kind is dict:
        return "an object"
    return NAMES.get(kind) or f"a {getattr(kind, '__name__', kind)}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
