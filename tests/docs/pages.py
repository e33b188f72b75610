"""Pages whose examples are executed: every ``python`` block, top to bottom, in one namespace."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def run_examples(page):
    """Execute a page's examples in the current folder; gives the names that they defined."""
    names = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.S):
        exec(compile(block, page, "exec"), names)
    return names
