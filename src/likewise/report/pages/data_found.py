"""What was found in the data: splits, classes, visible labels, skipped files, warnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from likewise.counts import amount, count
from likewise.report.pages.blocks import Block, Note, TableBlock, Text
from likewise.report.pages.rendering import render
from likewise.report.wording import SPLITS, sentence_case

LISTED = 20
"""rows that are visible at once; more are folded away"""
SKIPPED = 100
"""skipped files named at most; data.json names all"""
BAR = 8
"""rem: length of the bar of the largest class"""


def data_found(data: Mapping[str, Any]) -> list[Block]:
    """The body of the section."""
    if not data:
        return [Text("What was found is unknown: data.json is absent.")]
    classes = data.get("classes") or []
    skipped: Sequence[Mapping[str, Any]] = data.get("skipped") or []
    rows = []
    for file in skipped[:SKIPPED]:
        rows.append([str(file.get("id", "")), str(file.get("reason", ""))])
    more = len(skipped) - len(rows)
    notes = [*(data.get("warnings") or []), *(data.get("notes") or [])]
    return [
        render(
            "data.html",
            sentence=_sentence(data),
            warnings=Note([str(note) for note in notes]),
            classes=_classes(classes),
            number_of_classes=amount(len(classes), "class", "classes"),
            skipped=TableBlock("Files that could not be used.", ["file", "reason"], rows),
            number_skipped=f"{amount(len(skipped), 'file')} skipped",
            more_skipped=amount(more, "more file") if more else "",
            listed=LISTED,
        )
    ]


def _sentence(data: Mapping[str, Any]) -> str:
    parts = (_source(data), *_labels(data), *_pixels(data))
    return ". ".join(sentence_case(part) for part in parts) + "."


def _source(data: Mapping[str, Any]) -> str:
    splits = []
    for name, number in (data.get("splits") or {}).items():
        splits.append(f"{count(number)} {SPLITS.get(name, name)}")
    listed = ", ".join(splits) or "no split is recorded"
    return f"Read from {data.get('source', 'an unknown source')}: {listed}"


def _labels(data: Mapping[str, Any]) -> Iterator[str]:
    if data.get("labelled") is not None:
        total = int(data["labelled"]) + int(data.get("unlabelled") or 0)
        yield f"{count(data['labelled'])} of {amount(total, 'image')} have a label"
    if data.get("visible_labels") is not None:
        sentence = f"{amount(data['visible_labels'], 'label')} visible to training"
        if wrong := data.get("noisy_labels"):
            sentence += f", {count(wrong)} of them wrong on purpose (label noise)"
        yield sentence


def _pixels(data: Mapping[str, Any]) -> Iterator[str]:
    if data.get("image_size"):
        kind = {1: ", grey", 3: ", colour"}.get(data.get("channels", 0), "")
        yield f"read at {data['image_size']} × {data['image_size']} pixels{kind}"
    if displayed := _displayed(data.get("channels", 3)):
        yield displayed
    if clips := data.get("clips"):
        stored = f"{amount(clips['stored'], 'frame')} of each video stored"
        rate = f"{clips['frame_rate']:g} per second"
        yield f"{stored}, {rate}; the encoder sees {clips['seen']} of them at a time"


def _displayed(channels: int) -> str:
    """Which of many channels a reader sees; empty for grey and colour images, which are displayed as they are."""
    if channels in (1, 3):
        return ""
    visible = "first three" if channels > 3 else "first"
    return f"images have {channels} channels; pictures on this page display only the {visible}"


def _classes(classes: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Name, number of images and visible labels of each class, and how long its bar is."""
    largest = max((int(each.get("count", 0)) for each in classes), default=0) or 1
    rows = []
    for each in classes:
        number = int(each.get("count", 0))
        visible = each.get("visible_labels")
        rows.append(
            {
                "name": str(each.get("name", "")),
                "count": count(number),
                "width": f"{BAR * number / largest:.2f}",
                "visible_labels": count(visible) if visible is not None else "–",
            }
        )
    return rows
