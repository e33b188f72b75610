"""Words of the command line into settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

from likewise.errors import LikewiseError

Positional = tyro.conf.Positional


def parse(kind: Any, words: list[str], program: str) -> Any:
    """Settings of a kind, or its help."""
    return tyro.cli(kind, args=words, prog=program)


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
