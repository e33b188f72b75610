"""Keep what a GPU said: from the file of ``benchmarks/on_gpu.py`` to the pages of the documentation.

python benchmarks/keep_gpu_results.py on_gpu.json --note "nothing else ran on the GPU"
make docs

Each section replaces ``benchmarks/results/on_gpu_SECTION.json``; those that were not asked, or found nothing, keep what
an earlier run said. ``make docs`` makes of them the tables of ``docs/performance.md`` and the aims in ``docs/gpu.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from gpu.aims import verdict
from measuring import RESULTS

TITLES = {
    "step": "A training step on a GPU",
    "views": "Views on a GPU",
    "losses": "Losses on a GPU",
    "large_losses": "Losses of large batches on a GPU",
    "batch_norm": "Batch normalisation on a GPU",
    "transformer": "A ViT's steps on a GPU: activation checkpointing, float32",
    "scoring": "Scoring on a GPU",
    "around": "Decoding, starting and FSDP2 on a GPU",
    "tests": "Tests on a GPU",
}
REASONS = ("ended", "not measured", "not captured")
"""Why an entry has no numbers."""
LEFT_OUT = ("end", "log", "why", "seconds")
"""Entries of a section that are long texts, or no measurement."""
ABOUT = ("day", "about", "aims")
"""What is no section in the file."""
CHECK = "check"
"""The section that measures nothing."""

Cells = dict[str, str]


@dataclass(frozen=True)
class Settings:
    """What to keep, and where."""

    found: tyro.conf.Positional[Path]
    """the file that on_gpu.py wrote"""
    results: Path = RESULTS
    """folder"""
    note: str = ""
    """on how it was measured"""


def flat(value: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Numbers and words of a nested entry by name, as a page prints them."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            own = printed(name)
            yield from flat(part, f"{before}, {own}" if before else own)
    elif isinstance(value, list):
        yield before, ", ".join(map(printed, value)) or "none"
    else:
        yield before, printed(value)


def printed(value: Any) -> str:
    """Four digits of a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).replace("|", "\\|")
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def tables(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Entries with the same numbers stand in one table, a row each; what was not measured is a note of the last."""
    grouped: dict[tuple[str, ...], list[list[str]]] = {}
    notes = []
    for name, entry in found.items():
        if name in LEFT_OUT:
            continue
        reason = why_empty(name, entry)
        if reason:
            notes.append(reason)
            continue
        cells: Cells = dict(flat(entry if isinstance(entry, Mapping) else {"value": entry}))
        grouped.setdefault(tuple(cells), []).append([printed(name), *cells.values()])
    made = [
        {"title": ", ".join(columns)[:100], "columns": ["", *columns], "rows": rows, "notes": []}
        for columns, rows in grouped.items()
    ]
    if notes and not made:
        made.append({"title": "Not measured", "columns": [""], "rows": [], "notes": []})
    if notes:
        made[-1]["notes"] = notes
    return made


def why_empty(name: str, entry: Any) -> str:
    """Why an entry was not measured; empty if it was."""
    if name in REASONS:
        return f"{name}: {last_line(entry)}"
    if isinstance(entry, Mapping):
        for reason in REASONS:
            if reason in entry and len(entry) == 1:
                return f"{name}, {reason}: {last_line(entry[reason])}"
    return ""


def last_line(reason: object) -> str:
    """Of a traceback."""
    return str(reason).strip().rpartition("\n")[2][:200]


def claims(aims: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Aims, as the pages have targets."""
    return [
        {
            "claim": ", ".join(filter(None, (aim["name"], aim["aim"]))),
            "wanted": float(aim["aim"].split()[-1]) if aim["aim"] else None,
            "measured": aim["measured"],
            "at_least": aim["aim"].startswith("at least"),
            "note": f"({aim['note']})" if aim["note"] else "",
            "verdict": verdict(aim),
        }
        for aim in aims
    ]


def result_of(name: str, found: Mapping[str, Any], note: str) -> dict[str, Any]:
    """A section as ``docs/generate.py`` reads it."""
    about = found["about"]
    versions = dict(about["versions"])
    if about.get("cuda"):
        versions["cuda"] = about["cuda"]
    measured = {
        "day": found["day"],
        "machine": about["machine"],
        "device": about["device"],
        "versions": versions,
        "command": f"python benchmarks/on_gpu.py --only {name}",
    }
    if note:
        measured["note"] = note
    return {
        "title": TITLES.get(name, f"{name} on a GPU"),
        "measured": measured,
        "tables": tables(found[name]),
        "claims": claims([aim for aim in found["aims"] if aim["section"] == name]),
    }


def read(file: Path) -> dict[str, Any]:
    """What on_gpu.py found.

    Raises:
        SystemExit: the file is none of its files, is damaged, or was made on a CPU.
    """
    wanted = "Give the file that `python benchmarks/on_gpu.py --out FILE` wrote."
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f"{file} cannot be read ({error}). {wanted}") from error
    whole = isinstance(found, dict) and all(name in found for name in ABOUT)
    if not whole or not all(isinstance(found[name], dict) for name in found if name not in ABOUT):
        raise SystemExit(f"{file} does not hold a day, a machine, aims and sections. {wanted}")
    if found["about"].get("device") in (None, "CPU"):
        raise SystemExit(
            f"{file} was written on a CPU, where the script is only tried: nothing of it is kept. {wanted}"
        )
    return found


def main(settings: Settings) -> None:
    """Write a file for each section that found something."""
    found = read(settings.found)
    if not settings.results.is_dir():
        raise SystemExit(f"--results {settings.results}: there is no such folder. Make it first.")
    for name in (name for name in found if name not in (*ABOUT, CHECK)):
        result = result_of(name, found, settings.note)
        if not any(table["rows"] for table in result["tables"]):
            print(f"{name}: nothing was measured, so what an earlier run said stays")
            continue
        target = settings.results / f"on_gpu_{name}.json"
        target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        print(f"written to {target}; `make docs` publishes it")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
