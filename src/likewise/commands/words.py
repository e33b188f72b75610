"""Words of the command line into settings, and what several commands print."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import docstring_parser
import tyro

from likewise.commands.option_values import VALUES
from likewise.counts import amount
from likewise.data.left_out import require_all_read
from likewise.errors import LikewiseError

Positional = tyro.conf.Positional


RunArgument = Annotated[str, Positional, tyro.conf.arg(metavar="RUN")]
DataArgument = Annotated[str, Positional, tyro.conf.arg(metavar="DATA")]


def parse(kind: Any, words: list[str], program: str) -> Any:
    """Settings of a kind, or its help."""
    _describe_options(kind)
    return tyro.cli(
        kind, args=words, prog=program, config=(tyro.conf.SuppressFixed,), registry=VALUES
    )


def _describe_options(kind: Any) -> None:
    """Give each option of a kind the text that help shows, once.

    tyro reads attribute docstrings too, but keeps their line breaks, which are those of the source. Help wraps at the
    width of the terminal, so a text is one line here.
    """
    for owner in kind.__mro__:
        own = vars(owner).get("__annotations__", {})
        options = (
            [entry.name for entry in dataclasses.fields(owner) if entry.name in own] if own else []
        )
        if not options:
            continue
        hints = typing.get_type_hints(owner, include_extras=True)
        texts = _attribute_texts(owner)
        for name in options:
            hint = hints[name]
            inner = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
            if dataclasses.is_dataclass(inner):
                _describe_options(inner)
            elif not _has_text(hint):
                own[name] = Annotated[_leave_out_none(hint), tyro.conf.arg(help=texts.get(name))]


def _attribute_texts(owner: Any) -> dict[str, str]:
    """Each attribute's docstring without its line breaks."""
    parameters = docstring_parser.parse_from_object(owner).params
    return {entry.arg_name: " ".join((entry.description or "").split()) for entry in parameters}


def _has_text(hint: Any) -> bool:
    return any(getattr(part, "help", None) for part in getattr(hint, "__metadata__", ()))


def _leave_out_none(hint: Any) -> Any:
    """Let help write ``--steps INT``, where tyro writes ``--steps {None}|INT`` and ``(default: None)``.

    None is no value to type: it says that the option is left out, and the option's text says what happens then.
    """
    if typing.get_origin(hint) is Annotated or type(None) not in typing.get_args(hint):
        return hint
    return Annotated[hint, tyro.conf.arg(metavar=_metavar(hint), help_behavior_hint="")]


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


def take_option(
    words: list[str], option: str, default: str, known: Sequence[str]
) -> tuple[str, list[str]]:
    """An option's value, and the words without it: it decides which other options there are.

    Raises:
        LikewiseError: the option has no value, or a word is nearly its name.
    """
    rest, value = [], default
    remaining = iter(words)
    for word in remaining:
        if word == option:
            value = next(remaining, "")
            if not value or value.startswith("-"):
                raise LikewiseError(f"{option} needs a name: {', '.join(known)}.")
        elif word.startswith(option + "="):
            value = word.partition("=")[2]
        elif word.startswith("-") and _is_nearly(word.partition("=")[0], option):
            raise LikewiseError(f"There is no option {word}. Did you mean {option}?")
        else:
            rest.append(word)
    return value, rest


def _is_nearly(word: str, option: str) -> bool:
    return bool(difflib.get_close_matches(word, [option], cutoff=0.85))


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
        elif equals and _is_name(name) and not Path(word).exists():
            spelt += [f"--{name.replace('_', '-')}", value]
        else:
            spelt.append(word)
    return spelt


def _is_name(text: str) -> bool:
    """Whether it could be a setting's name in Python."""
    return text.replace("_", "").isalpha()


def say_skipped(skipped: Mapping[str, str], what: str, strict: bool) -> None:
    """Name every file that was left out; with ``strict`` that is an error."""
    if not skipped:
        return
    print(f"{amount(len(skipped), 'file')} {what}:")
    for name, reason in skipped.items():
        print(f"  {name}: {reason}")
    if strict:
        require_all_read(skipped)
