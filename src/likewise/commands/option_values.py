"""Values of the command line: an error says what was typed and what is allowed, and not how Python reads it."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

VALUES = ConstructorRegistry()
"""How tyro reads numbers, several of them, names out of a few, and any of these or None."""

_NOUNS = {int: "a whole number", float: "a number"}


@VALUES.primitive_rule
def _value(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """The rule for a value; None where the type is another."""
    is_union = info.type_origin in (typing.Union, types.UnionType)
    members = typing.get_args(info.type) if is_union else (info.type,)
    kinds = [member for member in members if member is not types.NoneType]
    parts = _parts_of(kinds)
    if not parts:
        return None
    may_be_none = len(kinds) < len(members)

    def read(words: list[str]) -> Any:
        if may_be_none and words == ["None"] * len(parts):
            return None
        values = [_read(word, each) for word, each in zip(words, parts, strict=True)]
        return tuple(values) if len(parts) > 1 else values[0]

    return PrimitiveConstructorSpec(
        nargs=len(parts),
        metavar=" ".join(map(_metavar, parts)),
        instance_from_str=read,
        is_instance=lambda value: _is_instance(value, parts, may_be_none),
        str_from_instance=lambda value: _words_of(value, len(parts)),
    )


def _parts_of(kinds: list[Any]) -> list[list[Any]]:
    """What each word may be; nothing where one of the kinds is none of these, or names alone, which tyro reads well."""
    parts = [kinds] if kinds else []
    if len(kinds) == 1 and typing.get_origin(kinds[0]) is tuple:
        parts = [[part] for part in typing.get_args(kinds[0])]
    is_known = all(_is_known(kind) for part in parts for kind in part)
    has_number = any(kind in _NOUNS for part in parts for kind in part)
    return parts if is_known and has_number else []


def _is_known(kind: Any) -> bool:
    return kind in _NOUNS or typing.get_origin(kind) is Literal


def _read(word: str, kinds: list[Any]) -> Any:
    """A word as a value of one of some kinds.

    Raises:
        ValueError: it is none.
    """
    for kind in kinds:
        if typing.get_origin(kind) is Literal:
            if word in typing.get_args(kind):
                return word
            continue
        try:
            return kind(word)
        except ValueError:
            continue
    raise ValueError(f"{word!r} is not {' or '.join(map(_noun, kinds))}")


def _noun(kind: Any) -> str:
    return _NOUNS.get(kind) or " or ".join(typing.get_args(kind))


def _metavar(kinds: list[Any]) -> str:
    return "|".join(
        kind.__name__.upper() if kind in _NOUNS else "{" + ",".join(typing.get_args(kind)) + "}"
        for kind in kinds
    )


def _is_instance(value: Any, parts: list[list[Any]], may_be_none: bool) -> bool:
    """Whether a default is a value of these parts."""
    if value is None:
        return may_be_none
    if len(parts) == 1:
        return _fits(value, parts[0])
    is_of_length = isinstance(value, tuple) and len(value) == len(parts)
    return is_of_length and all(map(_fits, value, parts))


def _fits(value: Any, kinds: list[Any]) -> bool:
    return any(_fits_one(value, kind) for kind in kinds)


def _fits_one(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind)
    return isinstance(value, int | float if kind is float else kind)


def _words_of(value: Any, count: int) -> list[str]:
    """The words that would be typed for a default."""
    return [str(each) for each in value] if isinstance(value, tuple) else [str(value)] * count
