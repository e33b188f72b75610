"""Write docs/methods.md from the methods themselves: `make docs`."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from pathlib import Path

from likewise.methods import METHODS, Method

HEADER = """# Methods

Made by `make docs` from the code. Every setting can be changed from the command line (`--method.temperature 0.1`) and
from Python (`SimCLR(temperature=0.1)`); so can the recipe (`--recipe.learning-rate 0.1`).
"""


def field_docs(kind: type) -> dict[str, str]:
    """The line of documentation under each field of a dataclass."""
    docs: dict[str, str] = {}
    names = {field.name for field in dataclasses.fields(kind)}
    lines = inspect.getsource(kind).splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        name = line.strip().partition(":")[0]
        if name in names and following.strip().startswith('"""'):
            text = following.strip().strip('"')
            for more in lines[lines.index(following) + 1 :]:
                if following.strip().endswith('"""') and len(following.strip()) > 3:
                    break
                text += " " + more.strip().strip('"')
                if more.strip().endswith('"""'):
                    break
            docs[name] = text
    return docs


def section(name: str, kind: type[Method]) -> str:
    """One method: idea, source, settings, recipe."""
    settings, recipe = kind(), kind.recipe
    explained = field_docs(kind)
    rows = [
        f"| `{field.name}` | `{shown(getattr(settings, field.name))}` | {explained.get(field.name, '')} |"
        for field in dataclasses.fields(kind)
    ]
    training = ", ".join(f"{field.name} {getattr(recipe, field.name)}" for field in dataclasses.fields(recipe))
    about = inspect.cleandoc(kind.__doc__ or "")
    table = ["| setting | default | what it is |", "| --- | --- | --- |", *rows]
    return "\n".join(
        [
            f"## {kind.title} (`{name}`)",
            "",
            kind.idea,
            "",
            about,
            "",
            f"Labels: {kind.needs}. Recipe: {training}.",
            "",
            *table,
            "",
        ]
    )


def shown(value: object) -> str:
    """A setting's default; a view policy is told by what it changes."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return repr(value)
    changed = [
        f"{field.name}={getattr(value, field.name)!r}"
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != field.default
    ]
    return f"{type(value).__name__}({', '.join(changed)})"


def methods_page() -> str:
    """The whole page."""
    return HEADER + "\n" + "\n".join(section(name, kind) for name, kind in sorted(METHODS.items()))


if __name__ == "__main__":
    target = Path(__file__).parent / "methods.md"
    target.write_text(methods_page())
    sys.stdout.write(f"{target}\n")
