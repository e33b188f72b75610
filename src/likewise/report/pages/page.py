"""The page of one run: what was learned, from what, how good it is, and what to type next."""

from __future__ import annotations

from pathlib import Path

from likewise.report.pages.calibration_chart import calibration_section
from likewise.report.pages.confusion import confusion
from likewise.report.pages.corruption_section import corruption_section
from likewise.report.pages.curves import curves, online_scores
from likewise.report.pages.data_found import data_found
from likewise.report.pages.document import Section, document, write_page
from likewise.report.pages.embedding_map import EmbeddingMap, embedding_map
from likewise.report.pages.markup import Child, Markup, element
from likewise.report.pages.next_steps import next_steps
from likewise.report.pages.score_table import headline, label_free_table, scores_table, verdict
from likewise.report.pages.settings import settings_table
from likewise.report.pictures.gallery import Gallery
from likewise.report.pictures.illustration_section import illustration_section
from likewise.report.pictures.locations import alike_places, matched_places, read_arrays
from likewise.report.pictures.neighbours import neighbours
from likewise.report.pictures.retrieved import retrieved
from likewise.report.pictures.segments import segments
from likewise.report.record import RunRecord
from likewise.report.wording import amount, count, duration, interval, label_budget, percent, score_name
from likewise.run_folder import RunFolder


def write_report(run: RunFolder, map_settings: EmbeddingMap | None = None) -> Path:
    """Write a run's ``report.html``: one file, a pure function of the run's folder, that opens offline.

    Parts whose files are absent are named on the page instead of shown.

    Args:
        run: the run's folder; config.json is all that it must hold.
        map_settings: how the map of the embeddings is drawn.

    Raises:
        LikewiseError: the folder is not a run.
        EnvironmentIOError: the page cannot be written.
    """
    record = RunRecord.read(run)
    lead = [_verdict(record), _numbers(record), _missing(record)]
    title = title_of(record)
    return write_page(
        run.report, document(title, lead, _sections(record, map_settings or EmbeddingMap()), _footer(record))
    )


def title_of(record: RunRecord) -> str:
    """What was learned and from what, in a sentence."""
    images = (record.data.get("splits") or {}).get("train")
    source = str(record.config.get("data", record.data.get("source", "its data")))
    budget = label_budget(record.config["labels"]) if "labels" in record.config else "labels unknown"
    if record.visible_labels == 0:
        budget = "no labels"
    learned = "learned" if record.finished else "has so far learned"
    amount_seen = f"{amount(images, record.example)} of " if images else ""
    return f"{record.method} {learned} from {amount_seen}{source}, with {budget}"


def _sections(record: RunRecord, map_settings: EmbeddingMap) -> list[Section]:
    gallery = record.gallery
    sections = [
        Section("scores", "How good it is", _scores(record)),
        *_section("calibration", "Whether it is right as often as it says", calibration_section(record)),
        *_section("corruptions", "How it fares on corrupted images", corruption_section(record)),
        Section("next", "What to type next", next_steps(record)),
        Section("curves", "How it learned", curves(record)),
    ]
    if record.illustration is not None:
        sections.append(illustration_section(record.illustration))
    if gallery is not None and len(gallery.vectors):
        sections += _gallery_sections(gallery, map_settings)
    return [
        *sections,
        *retrieved(record.folder.retrieved),
        *_place_sections(record),
        Section("data", "What it learned from", data_found(record.data)),
        Section("settings", "Settings", settings_table(record.config, record.environment)),
    ]


def _section(name: str, title: str, body: list[Child]) -> list[Section]:
    return [Section(name, title, body)] if body else []


def _gallery_sections(gallery: Gallery, map_settings: EmbeddingMap) -> list[Section]:
    sections = [
        Section("embeddings", "Map of the embeddings", [embedding_map(gallery, map_settings)]),
        Section("neighbours", "Nearest neighbours", neighbours(gallery)),
    ]
    if len(gallery.all_labels):
        sections.append(Section("confusion", "What it mixes up", confusion(gallery)))
    return sections


def _place_sections(record: RunRecord) -> list[Section]:
    """What the encoder makes of places of images, where the run has kept some."""
    places, matches, sections = read_arrays(record.folder.locations), read_arrays(record.folder.matches), []
    if "masks" in places:
        sections.append(
            Section("segments", "What it sees where", segments(places, record.more_scores.get("iou") or {}))
        )
    if matches:
        sections.append(Section("matches", "Places it matched", matched_places(matches)))
    if "features" in places:
        sections.append(Section("places", "Places it takes for alike", alike_places(places)))
    return sections


def _verdict(record: RunRecord) -> Markup:
    name = headline(record)
    if name:
        return verdict(record, name)
    tested = f"No labelled test {record.example}s have been scored"
    said = f"{tested}, so how good the encoder is for a task is not known yet."
    return element("p", said, class_="verdict")


def _missing(record: RunRecord) -> Markup | None:
    if not record.missing:
        return None
    items = element("ul", [element("li", each) for each in record.missing])
    return element("div", element("p", "What this page cannot show, and why:"), items, class_="note", role="note")


def _numbers(record: RunRecord) -> Markup:
    """The four facts that a reader looks for first."""
    seconds = record.environment.get("seconds") or record.total("seconds")
    images, labels = record.total("images"), record.visible_labels
    train = (record.data.get("splits") or {}).get("train")
    shown = [
        ("labels shown", count(labels) if labels is not None else "unknown",
         f"of {amount(train, f'training {record.example}')}" if train else ""),
        (f"{record.example}s seen", count(images) if images else "unknown", "every view counted"),
        ("training took", duration(seconds) if seconds else "unknown", str(record.environment.get("machine", ""))),
        *_best_known(record),
    ]  # fmt: skip
    facts = [element("div", element("dt", a), element("dd", b), element("dd", c)) for a, b, c in shown]
    return element("dl", facts, class_="numbers")


def _best_known(record: RunRecord) -> list[tuple[str, str, str]]:
    name = headline(record)
    score = record.score("trained", name) if name else None
    if score and name:
        return [(score_name(name), percent(score.value), f"95%: {interval(score.low, score.high)}")]
    online = online_scores(record)
    if online:
        return [("while learning", percent(record.curve(online[0])[-1][online[0]]), score_name(online[0]))]
    return []


def _scores(record: RunRecord) -> list[Child]:
    parts: list[Child] = []
    if any(record.scores.values()):
        parts += scores_table(record)
    else:
        parts.append(
            element("p", "There are no scores against labels: the test images carry none, or were not scored.")
        )
    parts.append(label_free_table(record.more_scores.get("label_free") or {}))
    return parts


def _footer(record: RunRecord) -> str:
    version = record.environment.get("likewise")
    who = f"likewise {version}" if version else "likewise"
    return f"Written by {who} from {record.folder.path}. The page is one file and fetches nothing."
