"""Is it still small, and does it still flow one way?"""

import ast
import itertools
import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "likewise"
FILES = sorted(SOURCE.rglob("*.py"))
BANNED = {
    "utils",
    "util",
    "helpers",
    "helper",
    "misc",
    "common",
    "base",
    "manager",
    "engine",
    "core",
    "wrapper",
    "factory",
}


def test_folders_import_only_from_the_left():
    # In a process of its own, for it switches off all loggers that are there before it.
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=SOURCE.parents[1],
        timeout=300,
    )
    assert run.returncode == 0


def test_files_are_named_for_what_they_are_about():
    assert [str(path) for path in FILES if path.stem in BANNED] == []


def test_only_one_file_talks_to_other_processes():
    talking = [
        path.name
        for path in FILES
        if "torch.distributed" in path.read_text()
        and "import torch.distributed" in path.read_text()
    ]
    assert talking == ["collectives.py"]


def test_public_functions_say_what_they_do_and_return():
    untyped = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                inside = f"{path.relative_to(SOURCE)}:{node.name}"
                if node.returns is None:
                    untyped.append(inside)
    assert untyped == []


def test_help_and_import_are_quick_because_nothing_heavy_is_loaded():
    code = "import sys, likewise.cli; likewise.cli.main(['--help']); print(sorted(sys.modules))"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    for heavy in ("'torch'", "'timm'", "'sklearn'", "'plotly'", "'pyarrow'", "'numpy'", "'rich'"):
        assert heavy not in said
    assert "likewise train" in said


def test_a_command_imports_what_only_training_and_scoring_need_when_they_do():
    code = (
        "import importlib, pkgutil, sys, likewise.commands as c; "
        "[importlib.import_module(f'likewise.commands.{m.name}') for m in pkgutil.iter_modules(c.__path__)]; "
        "print(sorted(sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    slow = ("timm", "torchvision", "lightning_fabric", "torchmetrics", "sklearn", "scipy")
    slow += ("torch._dynamo", "torch.distributed.tensor", "transformers", "pandas")
    assert [name for name in slow if f"'{name}'" in loaded] == []


def test_one_class_has_one_name():
    homes = {}
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(str(path.relative_to(SOURCE)))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


COUNTED = "class clip column example file group image label part row shard step vector video"
IN_PLURAL = re.compile(
    rf" (?:[\w-]+ )?(?:{'|'.join(noun + 's?es|' + noun + 's' for noun in COUNTED.split())})\b"
)


def numbers_before_plurals(tree):
    """Lines in which a count stands before a noun in the plural, as in ``f"{len(files):,} files"``."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, after in itertools.pairwise(node.values):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            has_commas = value.format_spec is not None and "','" in ast.unparse(value.format_spec)
            is_count = has_commas or ast.unparse(value.value).startswith("len(")
            if is_count and IN_PLURAL.match(str(after.value)):
                yield node.lineno


def test_one_thing_is_counted_in_the_singular():
    found = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path in FILES
        for line in numbers_before_plurals(ast.parse(path.read_text()))
    ]
    assert found == [], "likewise.counts.amount writes 1 file and 2 files"
