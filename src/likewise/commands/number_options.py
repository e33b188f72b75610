"""Numbers of the command line: an error says what was typed, and not how Python reads it."""

from __future__ import annotations

import types
import typing
from typing import Any

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

NUMBERS = ConstructorRegistry()
"""How tyro reads ``int``, ``float``, and either of them or None."""

_NOUNS = {int: "a whole number", float: "a number"}


@NUMBERS.primitive_rule
def _number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """The rule for a number; None where the type is another."""
    may_be_none = info.type_origin in (typing.Union, types.UnionType)
    members = typing.get_args(info.type) if may_be_none else (info.type,)
    kinds = [member for member in members if member is not types.NoneType]
    if len(kinds) != 1 or kinds[0] not in _NOUNS:
        return None
    (kind,) = kinds

    def read(words: list[str]) -> Any:
        if may_be_none and words[0] == "None":
            return None
        try:
            return kind(words[0])
        except ValueError:
            raise ValueError(f"{words[0]!r} is not {_NOUNS[kind]}") from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=kind.__name__.upper(),
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, members),
        str_from_instance=lambda value: [str(value)],
    )
