"""Every test that the page of promises names is there."""

import ast
import re

from docs.pages import DOCS

ROOT = DOCS.parent
PAGE = DOCS / "promises.md"


def named_tests() -> list[str]:
    return re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE.read_text())


def test_every_promise_names_tests_that_exist():
    for name in named_tests():
        file, _, function = name.partition("::")
        assert (ROOT / file).is_file(), name
        tree = ast.parse((ROOT / file).read_text())
        assert function in {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
        }, name


def test_no_promise_is_without_a_test():
    rows = [
        line
        for line in PAGE.read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| ---")
    ]
    assert len(rows) > 15
    for row in rows[1:]:
        assert re.search(r"`tests/[\w/]+\.py::\w+`", row), row
