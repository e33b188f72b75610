"""The settings of a run as flat names and values, so that runs can be laid side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from likewise.counts import amount
from likewise.report.pages.blocks import Block, Fold, TableBlock
from likewise.run_folder import UNCOMPARED

ABSENT = "–"


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """``{"method": {"name": "simclr"}}`` -> ``{"method.name": "simclr"}``; lists stay whole."""
    found: dict[str, str] = {}
    for key, value in config.items():
        if not prefix and key == "format":
            continue
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = _text(value)
    return found


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Settings that are not the same in all runs, where to write and the like aside: name -> one value a run."""
    flats = [flat(config) for config in configs]
    names: dict[str, None] = {}  # a set in order
    for settings in flats:
        names |= dict.fromkeys(settings)
    rows = {}
    for name in names:
        values = [settings.get(name, ABSENT) for settings in flats]
        if len(set(values)) > 1 and name.rpartition(".")[2] not in UNCOMPARED:
            rows[name] = values
    return rows


def settings_tables(config: Mapping[str, Any], environment: Mapping[str, Any]) -> list[Block]:
    """The settings of the run, and the versions and machine that it ran on."""
    settings = list(flat(config).items())
    versions = list(flat(environment).items())
    folds: list[Block] = [
        _fold(f"All {amount(len(settings), 'setting')}", "From config.json.", settings)
    ]
    if versions:
        folds.append(_fold("Versions and machine", "From environment.json.", versions))
    return folds


def _fold(summary: str, caption: str, rows: Sequence[Sequence[str]]) -> Fold:
    return Fold(summary, [TableBlock(caption, ["name", "value"], rows, "plain-settings")])


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(each) for each in value) or "none"
    if isinstance(value, Mapping):
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value) or "none"
