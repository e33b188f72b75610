"""What a text advises to type can be typed: its options exist, and those of a whole command belong to that command."""

import ast
import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import likewise
from likewise.cli import COMMANDS, main
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


CALLS = {
    "train": "train DATA --steps 1 --encoder conv4 --out OUT",
    "doctor": "doctor DATA",
    "pack": "pack DATA --out OUT",
    "advise": "advise DATA --time 1m --out OUT",
    "verify": "verify DATA --steps 1 --encoder conv4",
    "reproduce": "reproduce cacr-weights --data DATA --out OUT",
    "embed": "embed RUN DATA --out OUT.parquet",
    "predict": "predict RUN DATA --out OUT.csv",
    "evaluate": "evaluate RUN --data DATA",
    "search": "search RUN DATA --in GALLERY",
}
REFUSED = {
    "one.png": ("train", "verify", "reproduce"),
    "mixed": ("train", "advise", "verify", "reproduce", "embed", "predict", "evaluate"),
    "empty files": ("train", "pack", "verify", "reproduce"),
    "unclear.csv": tuple(CALLS),
    "labels.csv": tuple(CALLS),
    "twice.csv": tuple(CALLS),
    "gone.csv": tuple(CALLS),
}
"""Data that are refused, and by what."""


def save(path, number, kind=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(number).integers(0, 256, (12, 12)) * (
        1 if kind is np.uint8 else 9
    )
    Image.fromarray(values.astype(kind)).save(path)


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """A run, its vectors, and data that are refused."""
    root = tmp_path_factory.mktemp("refused")
    save(root / "one.png", 0)
    for number in range(6):
        for folder in ("good", "mixed", "empty files"):
            save(root / folder / "ab"[number % 2] / f"{number}.png", number)
    save(root / "mixed" / "a" / "deep.png", 7, np.uint16)
    (root / "empty files" / "a" / "no.png").touch()
    rows = {
        "unclear": "good/a/0.png,good/b/1.png,x", "labels": "path,kind,other\ngood/a/0.png,x,y\ngood/b/1.png,y,x",
        "twice": "path,label\ngood/a/0.png,x\ngood/a/0.png,y", "gone": "path,label\nnone.png,x",
    }  # fmt: skip
    for name, text in rows.items():
        (root / f"{name}.csv").write_text(text + "\n")
    run = likewise.train(
        root / "good", method="simclr", encoder="conv4", batch_size=2, steps=1, num_evals=0,
        out=root / "run", loggers=(),
    )  # fmt: skip
    run.embed(root / "good").save(root / "vectors.parquet")
    return root


@pytest.mark.parametrize(("data", "command"), [(d, c) for d in REFUSED for c in REFUSED[d]])
def test_an_error_names_options_of_its_command_or_says_that_they_are_none(
    refused, tmp_path, data, command, options_of, capsys
):
    paths = {"DATA": refused / data, "OUT": tmp_path / "out", "RUN": refused / "run"}
    paths["GALLERY"] = refused / "vectors.parquet"
    named = re.compile("|".join(paths))
    words = [named.sub(lambda f: str(paths[f[0]]), word) for word in CALLS[command].split()]
    with pytest.raises(SystemExit) as left:
        main(words)
    text = " ".join(capsys.readouterr().err.split())
    said, _, absent = text.partition("(likewise")
    unknown = set(OPTION.findall(COMMAND.sub("", said))) - options_of[command]
    assert left.value.code and unknown == set(OPTION.findall(absent))
