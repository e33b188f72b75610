"""The settings of a run as flat names and values, so that runs can be laid side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from likewise.report.pages.markup import Child, Markup, element, table
from likewise.report.wording import amount
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
            found[f"{prefix}{key}"] = _shown(value)
    return found


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Settings that are not the same in all runs, where to write and the like aside: name -> one value a run."""
    flats = [flat(config) for config in configs]
    names = list(dict.fromkeys(name for each in flats for name in each))
    rows = {name: [each.get(name, ABSENT) for each in flats] for name in names}
    return {
        name: values
        for name, values in rows.items()
        if len(set(values)) > 1 and name.rpartition(".")[2] not in UNCOMPARED
    }


def settings_table(config: Mapping[str, Any], environment: Mapping[str, Any]) -> list[Child]:
    """What was asked for, and what it ran on."""
    asked, ran = list(flat(config).items()), list(flat(environment).items())
    return [
        _listing(f"All {amount(len(asked), 'setting')}", "As config.json keeps them.", asked),
        _listing("Versions and machine", "As environment.json keeps them.", ran) if ran else None,
    ]


def _listing(summary: str, caption: str, rows: Sequence[Sequence[str]]) -> Markup:
    listing = element("div", table(caption, ["name", "value"], rows), class_="plain-settings")
    return element("details", element("summary", summary), listing)


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(each) for each in value) or "none"
    if isinstance(value, Mapping):
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value) or "none"
