"""Write what the pages have from the code and from the benchmarks' last results: `make docs`."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from likewise.methods import METHODS, Method
from likewise.methods.describe import needs_of, setting_docs, settings_of, shown, training_of

FOLDER = Path(__file__).parent

HEADER = """# Methods

Made by `make docs` from the code. Every setting can be changed from the command line (`--method.temperature 0.1`) and
from Python (`SimCLR(temperature=0.1)`); so can the recipe (`--recipe.learning-rate 0.1`). The defaults are for short
runs on small images. `--preset small`, `middle` or `imagenet` starts from what the authors ran, where they ran it, and
what is typed beside it wins.
"""


def section(name: str, kind: type[Method]) -> str:
    """One method: idea, source, settings, recipe."""
    settings, recipe = kind(), kind.recipe
    rows = [
        f"| `{setting}` | `{shown(getattr(settings, setting))}` | {text} |"
        for setting, text in setting_docs(kind).items()
    ]
    training = ", ".join(f"{field.name} {getattr(recipe, field.name)}" for field in dataclasses.fields(recipe))
    about = inspect.cleandoc(kind.__doc__ or "")
    table = ["| setting | default | what it is |", "| --- | --- | --- |", *rows]
    return "\n".join(
        [
            f"## {kind.title} (`{name}`)",
            "",
            f"{kind.idea} Choose it when {kind.choose_when}.",
            "",
            about,
            "",
            f"Needs {needs_of(kind)}. Recipe: {training}.",
            "",
            *table,
            "",
            f"Presets: {', '.join(f'`{preset}`' for preset in kind.presets)}; "
            f"[they, the steps, and where it differs](methods/{name}.md).",
            "",
        ]
    )


def methods_page() -> str:
    """The whole page."""
    return HEADER + "\n" + "\n".join(section(name, kind) for name, kind in sorted(METHODS.items()))


BEGIN, END = "<!-- presets, made by `make docs` -->", "<!-- end of presets -->"


def presets_table(kind: type[Method]) -> str:
    """A method's presets, what each changes and who says so."""
    lines = ["| `--preset` | for | training | settings | from |", "| --- | --- | --- | --- | --- |"]
    for name, preset in kind.presets.items():
        settings = ", ".join(f"`{setting}`" for setting in settings_of(preset)) or "the defaults"
        lines.append(f"| `{name}` | {preset.images} | {training_of(preset)} | {settings} | {preset.source} |")
    return "\n".join(lines)


def method_page(name: str) -> str:
    """A method's own page with its table of presets renewed; all else is written by hand.

    Raises:
        ValueError: the page has no place for the table.
    """
    written = (FOLDER / "methods" / f"{name}.md").read_text()
    if written.count(BEGIN) != 1 or written.count(END) != 1:
        raise ValueError(f"docs/methods/{name}.md needs one line {BEGIN!r} and below it one line {END!r}")
    before, _, rest = written.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{presets_table(METHODS[name])}\n\n{END}{after}"


PERFORMANCE = """# Performance

Made by `make docs` from the last results of the scripts under `benchmarks/`. Each ran likewise and its peers in one
run, in turns; a number is the median of the rounds. The peers come with `pip install -e ".[bench]"`. Where something
could not be measured, it says so: a number that was not measured is no number.
"""


def performance_page() -> str:
    """The whole page."""
    files = sorted((FOLDER.parent / "benchmarks" / "results").glob("*.json"))
    return PERFORMANCE + "\n" + "\n".join(benchmark(file.stem, json.loads(file.read_text())) for file in files)


def benchmark(name: str, kept: dict[str, Any]) -> str:
    """One benchmark: where and when, its tables, and what was to be reached."""
    measured = dict(kept["measured"])
    versions = ", ".join(f"{package} {number}" for package, number in measured.pop("versions").items())
    facts = "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in measured.items())
    lines = [f"## {kept['title']}", "", f"`python benchmarks/{name}.py`. {facts}; {versions}.", ""]
    for table in kept["tables"]:
        lines += [f"**{table['title']}**", ""]
        lines += [f"| {' | '.join(table['columns'])} |", f"| {' | '.join('---' for _ in table['columns'])} |"]
        lines += [f"| {' | '.join(row)} |" for row in table["rows"]]
        lines += ["", *[f"{note}  " for note in table["notes"]], *([""] if table["notes"] else [])]
    if kept["claims"]:
        lines += ["| to be reached | measured | |", "| --- | --- | --- |"]
        lines += [f"| {c['claim']} | {figure(c['measured'])} | {c['verdict']} {c['note']} |" for c in kept["claims"]]
        lines += [""]
    return "\n".join(lines)


def figure(value: float | None) -> str:
    """Three digits, or nothing."""
    return "" if value is None else f"{value:.3g}"


PAGES = {"methods.md": methods_page, "performance.md": performance_page}
PAGES |= {f"methods/{name}.md": partial(method_page, name) for name in METHODS}

if __name__ == "__main__":
    for page, write in PAGES.items():
        target = FOLDER / page
        target.write_text(write())
        sys.stdout.write(f"{target}\n")
