"""The methods and when to choose which, and one method in detail, for the terminal."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from likewise.methods import METHODS, Method
from likewise.report.describe import (
    LABELS,
    format_setting,
    needs_of,
    setting_docs,
    settings_of,
    training_of,
)


def methods_screen() -> RenderableType:
    """All methods by the labels that they are for, each with what it does and when to choose it."""
    table = Table(
        "method",
        "what it does",
        "choose it when",
        show_lines=False,
        pad_edge=False,
        box=None,
        padding=(0, 2),
    )
    for needs, heading in LABELS.items():
        table.add_row(Text(heading, "bold"), "", "")
        for name, kind in _of(needs):
            also = f" Needs {kind.card.also_needs}." if kind.card.also_needs else ""
            table.add_row(f"  {name}", kind.card.idea + also, kind.card.choose_when)
        table.add_row("", "", "")
    return Group(
        table,
        "likewise methods NAME lists the settings, the paper and the presets of one. Without --method the labels of "
        "the data decide: simclr, suncet or supcon.",
    )


def method_screen(name: str, kind: type[Method]) -> RenderableType:
    """One method: idea, paper, needs, settings, presets."""
    title = Text(kind.card.title, "bold")
    parts = [title, _facts(name, kind), _about(kind), _settings_table(kind), _presets_table(kind)]
    spaced: list[RenderableType] = []
    for part in parts:
        spaced += [part, ""]
    return Group(*spaced[:-1])


def _facts(name: str, kind: type[Method]) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column()
    facts.add_row("does", Text(kind.card.idea))
    facts.add_row("choose it when", Text(kind.card.choose_when))
    facts.add_row("needs", Text(needs_of(kind)))
    facts.add_row("paper", Text(kind.card.paper))
    facts.add_row("type", Text(f"likewise train photos/ --method {name} --preset small"))
    return facts


def _about(kind: type[Method]) -> Text:
    """The docstring, each paragraph on one line."""
    paragraphs = inspect.cleandoc(kind.__doc__ or "").split("\n\n")
    return Text("\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))


def _settings_table(kind: type[Method]) -> Table:
    table = Table(
        "setting",
        "default",
        "what it is",
        title="Settings (--method.NAME VALUE)",
        title_justify="left",
    )
    for setting, text in setting_docs(kind).items():
        table.add_row(setting.replace("_", "-"), Text(_default(kind, setting)), Text(text))
    return table


def _presets_table(kind: type[Method]) -> Table:
    table = Table(
        "preset",
        "what it sets",
        title="Presets (--preset NAME)",
        title_justify="left",
        show_lines=True,
    )
    for name, preset in kind.card.presets.items():
        changed = ", ".join(settings_of(preset)) or "the defaults"
        lines = [preset.images, training_of(preset), changed, f"From: {preset.source}"]
        table.add_row(name, Text("\n".join(lines)))
    return table


def train_help(method: str | Method, preset: str | None, width: int) -> str:
    """The text above the options of ``likewise train --help``."""
    lead = "Train an encoder on images and any number of labels."
    data = "\n\nArgs:\n    data: folder, Parquet, tar, CSV or array file, or fashion-mnist, fashion-mnist-mini"
    if isinstance(method, Method):
        kind = type(method)
        presets = [
            (name, f"{preset.images}; {training_of(preset)}")
            for name, preset in kind.card.presets.items()
        ]
        card = kind.card
        about = f"{card.title}: {card.idea} Needs {needs_of(kind)}; choose it when {card.choose_when}. {card.paper}."
        given = f"--preset NAME starts from a published run (now: {preset or 'none'}); other options override it:"
        return f"{lead}\n\n{about}\n\n{given}\n\n{_columns(presets, width)}{data}"
    groups = []
    for needs, heading in LABELS.items():
        methods = [(name, kind.card.choose_when) for name, kind in _of(needs)]
        groups.append(f"  {heading}\n{_columns(methods, width)}")
    how = "--method NAME chooses the method; with it, --help lists the method's settings and presets too. Choose:"
    auto = "Without --method the labels of the data decide: simclr, suncet or supcon."
    return f"{lead}\n\n{how}\n\n" + "\n".join(groups) + f"\n\n{auto}{data}"


def _of(needs: str) -> list[tuple[str, type[Method]]]:
    return [(name, kind) for name, kind in METHODS.items() if kind.card.needs == needs]


def _default(kind: type[Method], setting: str) -> str:
    return format_setting(getattr(kind(), setting))


def _columns(rows: Sequence[tuple[str, str]], width: int) -> str:
    """Names and texts side by side, texts wrapped under themselves; lines that begin with blanks stay as they are."""
    margin = 4 + max(len(name) for name, _ in rows) + 2
    lines = []
    for name, text in rows:
        first, *rest = textwrap.wrap(text, max(width - margin - 1, 20))
        lines += [f"    {name}".ljust(margin) + first, *(" " * margin + line for line in rest)]
    return "\n".join(lines)
