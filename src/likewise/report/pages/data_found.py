"""What was found in the data: classes, labels shown, files passed over, warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from likewise.report.pages.markup import Child, Markup, element, table
from likewise.report.wording import amount, count

LISTED = 20
"""rows shown at once; more are folded away"""
SPLITS = {"train": "to train on", "val": "to validate on", "test": "to test on"}
SKIPPED = 100
"""skipped files named at most; data.json names all"""


def data_found(data: Mapping[str, Any]) -> list[Child]:
    """The body of the section."""
    if not data:
        return [element("p", "What was found is unknown: data.json is absent.", class_="soft")]
    return [element("p", _sentence(data)), _warnings(data), _classes(data), _skipped(data)]


def _sentence(data: Mapping[str, Any]) -> str:
    splits = [f"{count(number)} {SPLITS.get(name, name)}" for name, number in (data.get("splits") or {}).items()]
    parts = [f"Read from {data.get('source', 'an unknown place')}: {', '.join(splits) or 'no split is recorded'}"]
    if data.get("labelled") is not None:
        total = int(data["labelled"]) + int(data.get("unlabelled") or 0)
        parts.append(f"{count(data['labelled'])} of {amount(total, 'image')} came with a label")
    if data.get("visible_labels") is not None:
        wrong = data.get("noisy_labels")
        noise = f", {count(wrong)} of them falsified on purpose" if wrong else ""
        parts.append(f"training saw {amount(data['visible_labels'], 'label')}{noise}")
    if data.get("image_size"):
        kind = {1: "grey", 3: "colour"}.get(data.get("channels", 0), "")
        parts.append(f"read at {data['image_size']} × {data['image_size']} pixels{', ' + kind if kind else ''}")
    if clips := data.get("clips"):
        parts.append(
            f"of each video {amount(clips['kept'], 'frame')} are kept, {clips['frame_rate']:g} a second, of which the "
            f"encoder sees {clips['seen']} at a time"
        )
    return ". ".join(part[0].upper() + part[1:] for part in parts) + "."


def _warnings(data: Mapping[str, Any]) -> Markup | None:
    said = [*(data.get("warnings") or []), *(data.get("notes") or [])]
    if not said:
        return None
    return element("div", element("ul", [element("li", str(each)) for each in said]), class_="note", role="note")


def _classes(data: Mapping[str, Any]) -> Markup | None:
    classes = data.get("classes") or []
    if not classes:
        return element("p", "No class is named: the images carry no labels.", class_="soft")
    largest = max(int(each.get("count", 0)) for each in classes) or 1
    rows = [_class(each, largest) for each in classes]
    listing = table("Classes, over all images.", ["class", "images", "labels shown"], rows)
    return _folded(f"{amount(len(classes), 'class', 'classes')}", listing, len(classes))


def _class(each: Mapping[str, Any], largest: int) -> list[Child]:
    number = int(each.get("count", 0))
    bar = element("span", class_="bar", style=f"width:{8 * number / largest:.2f}rem", aria_hidden="true")
    shown = each.get("visible_labels")
    return [str(each.get("name", "")), [bar, count(number)], count(shown) if shown is not None else "–"]


def _skipped(data: Mapping[str, Any]) -> list[Child]:
    skipped: Sequence[Mapping[str, Any]] = data.get("skipped") or []
    if not skipped:
        return [element("p", "No file was passed over.", class_="soft")]
    rows = [[str(each.get("id", "")), str(each.get("reason", ""))] for each in skipped[:SKIPPED]]
    more = len(skipped) - len(rows)
    note = element("p", f"{amount(more, 'more file')} in data.json.", class_="soft") if more else None
    listing = element("div", table("Files that could not be used.", ["file", "reason"], rows), note)
    return [element("h3", f"{amount(len(skipped), 'file')} passed over"), _folded("Which, and why", listing, len(rows))]


def _folded(summary: str, content: Markup, rows: int) -> Markup:
    return content if rows <= LISTED else element("details", element("summary", summary), content)
