"""What a text advises to type can be typed: its options exist, and those of a whole command belong to that command."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from likewise.cli import COMMANDS
from likewise.methods import METHODS, Recipe
from structure.public_names import help_texts

SOURCE = Path(__file__).parents[2] / "src" / "likewise"
OPTION = re.compile(r"(?<![\w{/-])--[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*\b(?!-\{)")
COMMAND = re.compile(
    rf"\blikewise ({'|'.join(COMMANDS)})((?: (?!likewise\b)[^\s,;:)]*[^\s,;:).])*)"
)
"""a command and the words behind it, as far as the sentence goes"""
OF_OTHER_PROGRAMS = """
    --error-unmatch --force-reinstall --gpus-per-task --gres --nodes --nproc-per-node --ntasks --ntasks-per-node
    --porcelain --shm-size --short --standalone --upgrade
"""
"""of pip, git, Docker, SLURM and torchrun"""
OF_NO_COMMAND = {"--key", "--paint", "--recipe", "--version"}
"""an option as such, a property of CSS, the beginning of a family's names, and what stands in place of a command"""


def texts(tree):
    """The strings of a module, each with its line; what is filled in later is `{}`."""
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner.update(map(id, ast.walk(node)))
            parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield node.lineno, "".join(parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.lineno, node.value


@pytest.fixture(scope="module")
def all_texts():
    return [
        (f"{path.relative_to(SOURCE)}:{line}", text)
        for path in sorted(SOURCE.rglob("*.py"))
        for line, text in texts(ast.parse(path.read_text()))
    ]


@pytest.fixture(scope="module")
def options_of():
    """The options of each command; those of all methods and recipes belong to `train`."""
    found = {name: set(OPTION.findall(text)) for name, text in help_texts().items()}
    found["train"] |= found.pop("suncet") | {f"--recipe.{name}" for name in settings(Recipe)}
    for kind in METHODS.values():
        found["train"] |= {f"--method.{name}" for name in settings(kind)}
    for name in ("verify", "advise"):
        found[name] |= {
            option for option in found["train"] if option.startswith(("--method.", "--recipe."))
        }
    return found


def settings(kind):
    """The fields of a data class and of those in it, as options spell them."""
    for field in dataclasses.fields(kind):
        name = field.name.replace("_", "-")
        yield name
        if dataclasses.is_dataclass(field.default):
            yield from (f"{name}.{inner}" for inner in settings(type(field.default)))


def test_every_option_that_a_text_names_exists(all_texts, options_of):
    known = set().union(*options_of.values(), OF_OTHER_PROGRAMS.split(), OF_NO_COMMAND)
    assert len(known) > 150
    assert [
        f"{where} {name}"
        for where, text in all_texts
        for name in OPTION.findall(text)
        if name not in known
    ] == []


def test_every_extra_that_a_text_names_can_be_installed(all_texts):
    named = {extra for _, text in all_texts for extra in re.findall(r"likewise\[(\w+)\]", text)}
    assert len(named) > 8
    project = (
        (SOURCE.parents[1] / "pyproject.toml")
        .read_text()
        .partition("[project.optional-dependencies]")[2]
    )
    assert (
        named - set(re.findall(r"^(\w+) = \[", project.partition("\n[")[0], re.MULTILINE)) == set()
    )


def test_every_command_that_a_text_names_has_its_options(all_texts, options_of):
    commands = [
        (where, *found.groups()) for where, text in all_texts for found in COMMAND.finditer(text)
    ]
    assert len(commands) > 60
    assert [
        f"{where} likewise {command} {name}"
        for where, command, words in commands
        for name in OPTION.findall(words)
        if name not in options_of[command]
    ] == []
