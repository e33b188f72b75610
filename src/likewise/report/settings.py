"""The settings of a run as flat names and values, so that runs can be laid side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from likewise.report.markup import Child, Markup, element, table

NOT_SETTINGS = frozenset({"format", "out"})
ABSENT = "–"


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """``{"method": {"name": "simclr"}}`` -> ``{"method.name": "simclr"}``; lists stay whole."""
    found: dict[str, str] = {}
    for key, value in config.items():
        if not prefix and key in NOT_SETTINGS:
            continue
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = _shown(value)
    return found


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Settings that are not the same in all runs: name -> one value a run."""
    flats = [flat(config) for config in configs]
    names = list(dict.fromkeys(name for each in flats for name in each))
    rows = {name: [each.get(name, ABSENT) for each in flats] for name in names}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def settings_table(config: Mapping[str, Any], environment: Mapping[str, Any]) -> list[Child]:
    """What was asked for, and what it ran on."""
    ran = [
        [name, value] for name, value in flat(environment).items()
    ]  # fmt: skip
    asked = [[name, value] for name, value in flat(config).items()]
    return [
        _listing("Settings of the run, as config.json keeps them.", asked),
        _listing("Versions and machine.", ran) if ran else None,
    ]


def _listing(caption: str, rows: Sequence[Sequence[str]]) -> Markup:
    return element("div", table(caption, ["name", "value"], rows), class_="plain-settings")


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(each) for each in value) or "none"
    if isinstance(value, Mapping):
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
