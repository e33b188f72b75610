"""Words of the command line into settings, and what several commands print."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from likewise.data.manifest import require_all_read
from likewise.errors import LikewiseError

Positional = tyro.conf.Positional


RunArgument = Annotated[str, Positional, tyro.conf.arg(metavar="RUN")]
DataArgument = Annotated[str, Positional, tyro.conf.arg(metavar="DATA")]


def parse(kind: Any, words: list[str], program: str) -> Any:
    """Settings of a kind, or its help."""
    _leave_out_none(kind)
    return tyro.cli(kind, args=words, prog=program)


def _leave_out_none(kind: Any) -> None:
    """Let help write ``--steps INT``, where tyro writes ``--steps {None}|INT`` and ``(default: None)``.

    None is no value to type: it says that the option is left out, and the option's text says what happens then.
    """
    for owner in kind.__mro__:
        own = vars(owner).get("__annotations__", {})
        hints = typing.get_type_hints(owner, include_extras=True) if own else {}
        for name in own:
            hint = hints[name]
            inner = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
            if dataclasses.is_dataclass(inner):
                _leave_out_none(inner)
            elif hint is inner and type(None) in typing.get_args(hint):
                own[name] = Annotated[hint, tyro.conf.arg(metavar=_metavar(hint), help_behavior_hint="")]


def _metavar(hint: Any) -> str:
    """What help shows for a value: INT, STR, {first,second}, INT|{auto}, FLOAT FLOAT."""
    parts, origin = typing.get_args(hint), typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return "|".join(_metavar(part) for part in parts if part is not type(None))
    if origin is Literal:
        return "{" + ",".join(parts) + "}"
    if origin is tuple and parts[-1] is Ellipsis:
        return f"{_metavar(parts[0])} ..."
    if origin is tuple:
        return " ".join(_metavar(part) for part in parts)
    return hint.__name__.upper()


def take_option(words: list[str], option: str, default: str, known: Sequence[str]) -> tuple[str, list[str]]:
    """An option's value, and the words without it: it decides which other options there are."""
    rest, value = [], default
    remaining = iter(words)
    for word in remaining:
        if word == option:
            value = next(remaining, "")
            if not value or value.startswith("-"):
                raise LikewiseError(f"{option} needs a name: {', '.join(known)}.")
        elif word.startswith(option + "="):
            value = word.partition("=")[2]
        else:
            rest.append(word)
    return value, rest


def spell_out(words: list[str]) -> list[str]:
    """``--pretrained`` alone is timm's weights; ``--from`` is no Python name; ``key=value`` is ``--key value``."""
    spelt: list[str] = []
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else "--"
        name, equals, value = word.partition("=")
        if name == "--from":
            spelt.append("--from-run" + equals + value)
        elif word == "--pretrained" and following.startswith("--"):
            spelt += [word, "timm"]
        elif equals and not word.startswith("-") and name.replace("_", "").isalpha() and not Path(word).exists():
            spelt += [f"--{name.replace('_', '-')}", value]
        else:
            spelt.append(word)
    return spelt


def say_skipped(skipped: Mapping[str, str], what: str, strict: bool) -> None:
    """Name every file that was left out; with ``strict`` that is an error."""
    if not skipped:
        return
    print(f"{len(skipped):,} files {what}:")
    for name, reason in skipped.items():
        print(f"  {name}: {reason}")
    if strict:
        require_all_read(skipped)
