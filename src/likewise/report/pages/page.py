"""The page of one run: scores, training curves, sample images, data, settings, and what to do next."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from likewise.counts import amount, count
from likewise.report.pages.blocks import Block, Note, Section, Text
from likewise.report.pages.calibration_chart import calibration_section
from likewise.report.pages.confusion import confusion
from likewise.report.pages.corruption_section import corruption_section
from likewise.report.pages.curves import curves, online_scores
from likewise.report.pages.data_found import data_found
from likewise.report.pages.document import document, write_page
from likewise.report.pages.embedding_map import EmbeddingMap, embedding_map
from likewise.report.pages.next_steps import next_steps
from likewise.report.pages.rendering import render
from likewise.report.pages.score_table import headline, label_free_table, scores_tables, verdict
from likewise.report.pages.settings import settings_tables
from likewise.report.pictures.gallery import Gallery
from likewise.report.pictures.illustration_section import illustration_section
from likewise.report.pictures.locations import matched_locations, read_arrays, similar_locations
from likewise.report.pictures.neighbours import neighbours
from likewise.report.pictures.retrieved import retrieved
from likewise.report.pictures.segments import segments
from likewise.report.record import RunRecord
from likewise.report.wording import duration, interval, label_budget, percent, score_name
from likewise.run_folder import RunFolder


def write_report(run: RunFolder, map_settings: EmbeddingMap | None = None) -> Path:
    """Write a run's ``report.html``: one file, a pure function of the run's folder, that opens offline.

    The page names the parts whose files are absent.

    Args:
        run: the run's folder; config.json is all that it must hold.
        map_settings: how the map of the embeddings is drawn.

    Raises:
        LikewiseError: the folder is not a run.
        EnvironmentIOError: the page cannot be written.
    """
    record = RunRecord.read(run)
    lead: list[Block] = [_verdict(record), render("numbers.html", numbers=_numbers(record))]
    if record.missing:
        lead.append(Note(record.missing, "What this page cannot show, and why:"))
    sections = _sections(record, map_settings or EmbeddingMap())
    return write_page(run.report, document(title_of(record), lead, sections, _footer(record)))


def title_of(record: RunRecord) -> str:
    """The method, the data and the labels, in a sentence."""
    images = (record.data.get("splits") or {}).get("train")
    source = str(record.config.get("data", record.data.get("source", "its data")))
    budget = (
        label_budget(record.config["labels"]) if "labels" in record.config else "labels unknown"
    )
    if record.visible_labels == 0:
        budget = "no labels"
    trained = "trained" if record.finished else "in training"
    examples = f"{amount(images, record.example)} of " if images else ""
    return f"{record.method} {trained} on {examples}{source}, with {budget}"


def _sections(record: RunRecord, map_settings: EmbeddingMap) -> list[Section]:
    sections = [
        Section("scores", "Scores", _scores(record)),
        Section("calibration", "Calibration", calibration_section(record)),
        Section("corruptions", "Robustness to corruptions", corruption_section(record)),
        Section("next", "Next steps", next_steps(record)),
        Section("curves", "Training curves", curves(record)),
    ]
    if record.illustration is not None:
        sections.append(illustration_section(record.illustration))
    if record.gallery is not None and len(record.gallery.vectors):
        sections += _gallery_sections(record.gallery, map_settings)
    sections += retrieved(record.folder.retrieved)
    sections += _location_sections(record)
    sections.append(Section("data", "Data", data_found(record.data)))
    sections.append(
        Section("settings", "Settings", settings_tables(record.config, record.environment))
    )
    return [section for section in sections if section.body]


def _gallery_sections(gallery: Gallery, map_settings: EmbeddingMap) -> list[Section]:
    sections = [
        Section("embeddings", "Map of the embeddings", [embedding_map(gallery, map_settings)]),
        Section("neighbours", "Nearest neighbours", [neighbours(gallery)]),
    ]
    if len(gallery.all_labels):
        sections.append(Section("confusion", "Confusions", confusion(gallery)))
    return sections


def _location_sections(record: RunRecord) -> list[Section]:
    """Dense features of a few images, where the run stored some."""
    sections = []
    locations = read_arrays(record.folder.locations)
    matches = read_arrays(record.folder.matches)
    if "masks" in locations:
        iou = record.more_scores.get("iou") or {}
        sections.append(Section("segments", "Segmentation", [segments(locations, iou)]))
    if matches:
        sections.append(Section("matches", "Matched locations", [matched_locations(matches)]))
    if "features" in locations:
        sections.append(Section("locations", "Similar locations", [similar_locations(locations)]))
    return sections


def _verdict(record: RunRecord) -> Markup | Text:
    name = headline(record)
    if name:
        return verdict(record, name)
    unknown = f"No labelled test {record.example}s have been scored, so the encoder's accuracy is unknown."
    return Text(unknown, "verdict")


def _numbers(record: RunRecord) -> list[tuple[str, str, str]]:
    """The four facts that a reader looks for first: what it is, its value, a note."""
    seconds = record.environment.get("seconds") or record.total("seconds")
    images = record.total("images")
    labels = record.visible_labels
    train = (record.data.get("splits") or {}).get("train")
    of_train = f"of {amount(train, f'training {record.example}')}" if train else ""
    machine = str(record.environment.get("machine", ""))
    return [
        ("visible labels", count(labels) if labels is not None else "unknown", of_train),
        (f"{record.example}s seen", count(images) if images else "unknown", "every view counted"),
        ("training time", duration(seconds) if seconds else "unknown", machine),
        *_best_known(record),
    ]


def _best_known(record: RunRecord) -> list[tuple[str, str, str]]:
    name = headline(record)
    score = record.score("trained", name) if name else None
    if score and name:
        return [
            (
                score_name(name),
                percent(score.value),
                f"95% interval: {interval(score.low, score.high)}",
            )
        ]
    online = online_scores(record)
    if online:
        last = record.curve(online[0])[-1][online[0]]
        return [("during training", percent(last), score_name(online[0]))]
    return []


def _scores(record: RunRecord) -> list[Block]:
    blocks = scores_tables(record)
    if not blocks:
        blocks.append(
            "There are no scores against labels: the test images have none, or were not scored."
        )
    blocks.append(label_free_table(record.more_scores.get("label_free") or {}))
    return blocks


def _footer(record: RunRecord) -> str:
    version = record.environment.get("likewise")
    name = f"likewise {version}" if version else "likewise"
    return f"Written by {name} from {record.folder.path}. The page is one file and fetches nothing."
