"""The page about losses: its examples run one after the other, as a reader would type them."""

import re
from pathlib import Path

from likewise import losses

PAGE = Path(__file__).parents[2] / "docs" / "losses.md"


def test_examples_run():
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S):
        exec(block, names)
    assert names["loss"] > 0


def test_every_module_is_listed():
    listed = set(re.findall(r"^\| `(\w+)\(", PAGE.read_text(), re.M))
    assert listed == {
        name for name in losses.__all__ if name[0].isupper() and name != "LossInputError"
    }
