"""What the doctor found, for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from likewise.counts import amount
from likewise.data.checks.finding import Finding, Findings


def findings_table(findings: Findings) -> RenderableType:
    """What the doctor found, each with its remedy and one example."""
    checked = f"{amount(findings.images, 'image')} checked"
    notes = [f"note: {escape(note)}" for note in findings.notes]
    if findings.healthy:
        return Group(f"{checked}; no problem was found.", *notes)
    table = Table("problem", "number", "example", "effect", "what to do")
    for finding in findings.found:
        example = escape(_named_group(finding, 0, 2))
        table.add_row(finding.name, f"{finding.count:,}", example, finding.meaning, finding.remedy)
    return Group(f"{checked}.", table, *notes)


def findings_list(findings: Findings) -> list[str]:
    """One line for each file, or for each group of copies, of everything that the doctor found."""
    lines = []
    for finding in findings.found:
        lines += [
            f"{finding.name}: {_named_group(finding, number)}" for number in range(finding.count)
        ]
    return lines


def _named_group(finding: Finding, number: int, most: int | None = None) -> str:
    """The ids of a group, or the first of them, and what is known about it."""
    ids = " = ".join(finding.groups[number][:most])
    return f"{ids} ({finding.details[number]})" if finding.details else ids
