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


FEW_OPTIONS = 16
"""A command with no more options has them listed where none is near to what was typed."""
NO = "no-"
"""What stands before the name of a flag that is turned off."""

SHORT = 2
"""Letters of a name that is too short to be like another one."""


def parse(kind: Any, words: list[str], program: str) -> Any:
    """Settings of a kind, or its help.

    Raises:
        LikewiseError: there is no such option, or a word belongs to none.
    """
    _describe_options(kind)
    settings, unknown = tyro.cli(
        kind,
        args=words,
        prog=program,
        config=(tyro.conf.SuppressFixed,),
        registry=VALUES,
        return_unknown_args=True,
    )
    if unknown:
        raise LikewiseError(f"{_unknown(unknown[0], kind)} {program} --help lists the options.")
    return settings


def _unknown(word: str, kind: Any) -> str:
    """What is to be said of a word that a command does not know."""
    options = options_of(kind)
    positive = [option for option in options if not _turns_off(option)]
    if not word.startswith("-"):
        hint = f" Data are given by an option: --data {word}." if "data" in options else ""
        return f"{word} was given, but there is no option before it.{hint}"
    typed = word.partition("=")[0]
    name = typed.lstrip("-")
    sought = options if _turns_off(name) else positive
    near = _near(name, sought) if len(name) > SHORT else []
    if near:
        return (
            f"There is no option {typed}. Did you mean {' or '.join(f'--{o}' for o in near[:3])}?"
        )
    if len(positive) > FEW_OPTIONS:
        return f"There is no option {typed}."
    return f"There is no option {typed}. There are {', '.join(f'--{each}' for each in positive)}."


def _turns_off(option: str) -> bool:
    return option.rpartition(".")[2].startswith(NO)


def _near(name: str, options: list[str]) -> list[str]:
    """The options that begin with a name; else those whose last part is like it, as ``method.dim`` is like ``dims``."""
    last_parts = {option.rpartition(".")[2]: option for option in reversed(options)}
    close = difflib.get_close_matches(name.rpartition(".")[2], last_parts, cutoff=0.6)
    return [each for each in options if each.startswith(name)] or [last_parts[c] for c in close]


def options_of(kind: Any) -> list[str]:
    """Names of a kind's options as they are typed, without the dashes in front; flags have two, to turn on and off."""
    names = []
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        inner = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
        marks = getattr(hint, "__metadata__", ())
        if Positional in marks or typing.get_origin(inner) is typing.ClassVar:
            continue
        typed = next((mark.name for mark in marks if getattr(mark, "name", None)), name)
        typed = typed.replace("_", "-")
        if dataclasses.is_dataclass(inner):
            prefix = "" if tyro.conf.OmitArgPrefixes in marks else f"{typed}."
            names += [f"{prefix}{each}" for each in options_of(inner)]
        else:
            names.append(typed)
            if inner is bool:
                names.append(NO + typed)
    return names


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
