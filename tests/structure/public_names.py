"""What a user of likewise can type or read: public names, command line options, and the texts that explain them."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import re
from functools import cache
from types import ModuleType

import likewise
from likewise.cli import COMMANDS, main
from likewise.methods import METHODS
from likewise.runs.settings import TrainSettings


def public_objects():
    """Every object that `likewise` and its public modules export, by its dotted name."""
    for name in likewise.__all__:
        exported = getattr(likewise, name)
        if not isinstance(exported, ModuleType):
            yield name, exported
            continue
        for inner in exported.__all__:
            yield f"{name}.{inner}", getattr(exported, inner)
    for name, method in METHODS.items():
        yield f"methods.METHODS[{name!r}]", method
    yield "TrainSettings", TrainSettings


def members(exported):
    """Public attributes, fields and methods of a class that likewise defines."""
    if not inspect.isclass(exported):
        return
    for owner in exported.__mro__:
        if not owner.__module__.startswith("likewise"):
            continue
        for name, member in vars(owner).items():
            if not name.startswith("_"):
                yield name, member
        for name in getattr(owner, "__annotations__", {}):
            if not name.startswith("_"):
                yield name, None
    if dataclasses.is_dataclass(exported):
        for field in dataclasses.fields(exported):
            yield field.name, None


def parameters(function):
    """The names of a function's parameters; none of what is no function."""
    if not (inspect.isfunction(function) or inspect.isclass(function)):
        return []
    with contextlib.suppress(ValueError, TypeError):
        return list(inspect.signature(function).parameters)
    return []


def public_names():
    """Identifiers that stand in a user's code: exports, their members and parameters."""
    names = set()
    for dotted, exported in public_objects():
        names.add(dotted.split(".")[-1] if "[" not in dotted else exported.__name__)
        names.update(parameters(exported))
        for name, member in members(exported):
            names.add(name)
            names.update(parameters(member))
    return names


def docstrings():
    """What the public objects say about themselves."""
    modules = [getattr(likewise, name) for name in likewise.__all__]
    texts = [inspect.getdoc(module) or "" for module in modules if isinstance(module, ModuleType)]
    for _, exported in public_objects():
        texts.append(inspect.getdoc(exported) or "")
        texts.extend(
            inspect.getdoc(member) or ""
            for _, member in members(exported)
            if inspect.isroutine(member)
        )
    return "\n".join(texts)


@cache
def help_texts():
    """What `--help` prints, for every command, and for `train` with a method."""
    pages = [("", ["--help"]), ("suncet", ["train", "--method", "suncet", "--help"])]
    pages += [(command, [command, "--help"]) for command in COMMANDS]
    texts = {}
    for name, words in pages:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main(words)
        texts[name] = printed.getvalue()
    return texts


def options(texts):
    """The long options in help texts."""
    return {
        option
        for text in texts.values()
        for option in re.findall(r"(?<![\w-])--([a-z][\w.-]+)", text)
    }


def words_of(name):
    """The words of an identifier or an option, in lower case."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.findall(r"[a-z]+", spaced.lower().replace("_", " "))
