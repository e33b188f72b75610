"""The first and the last screen of a run."""

from __future__ import annotations

from statistics import fmean
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table

from likewise.data.checks.doctor import Findings
from likewise.data.checks.mask_check import MasksFound
from likewise.encoders import EncoderSettings
from likewise.evaluation.statistics.scores import Score
from likewise.methods import Method, method_name
from likewise.report.wording import is_main, is_over_classes
from likewise.run_folder import RunFolder, read_json


class RunOutline(NamedTuple):
    """What a run is about to do, for its first screen."""

    method: Method
    method_reason: str
    """why it was chosen; empty where it was named"""
    preset: str | None
    encoder: EncoderSettings
    optimizer: str
    batch_size: int
    steps: int
    epochs: float
    device: str
    """with the number format and its reason"""
    output: str
    """the run's folder"""
    teacher: str = ""
    """the run that it learns from; empty without one"""
    memory: str = ""
    """the microbatches; empty where all images of a step are embedded at once"""
    accumulate_grad_batches: int = 1
    model_ema_decay: float | None = None


def first_screen(found: dict[str, Any], masks: MasksFound | None, run: RunOutline) -> RenderableType:
    """What was found in the data, and what will happen.

    Args:
        found: as `likewise.report.data_summary.summarise_data` gives it.
        masks: the classes of the masks, where training and test images have masks.
        run: what will happen.
    """
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    grid.add_row("data", f"{found['source']}: {_splits(found['splits'])}, {_labels(found)}")
    if clips := found["clips"]:
        grid.add_row("videos", _videos(clips))
    if masks:
        grid.add_row("masks", str(masks))
    grid.add_row("method", _method(run))
    grid.add_row("encoder", _encoder(run.encoder))
    if run.teacher:
        grid.add_row("teacher", run.teacher)
    images = "clips" if found["clips"] else "images"
    support = " and a labelled support" if run.method.support else ""
    batch = f"{run.batch_size} {images}{support}"
    if run.accumulate_grad_batches > 1:
        batch = f"{run.accumulate_grad_batches} batches of {batch}"
    batch = f"{run.steps:,} steps of {batch} ({run.epochs:,.1f} epochs)"
    grid.add_row("training", f"{batch}, {run.optimizer}, {run.device}")
    if run.model_ema_decay is not None:
        grid.add_row("weights", f"a moving average of decay {run.model_ema_decay} is scored and saved as the encoder")
    if run.memory:
        grid.add_row("memory", run.memory)
    grid.add_row("output", run.output)
    notes = [f"note: {note}" for note in found["notes"]]
    warnings = [f"[yellow]warning: {warning}[/yellow]" for warning in found["warnings"]]
    return Group(grid, *notes, *warnings)


def _splits(splits: dict[str, int]) -> str:
    names = {"train": "to train on", "val": "to validate", "test": "to test"}
    return ", ".join(f"{count:,} {names[name]}" for name, count in splits.items())


def _videos(clips: dict[str, float]) -> str:
    """How much of each video is kept, and how much of that an encoder sees."""
    kept = f"{clips['kept']} frames of each are kept, {clips['frame_rate']:g} a second"
    seen = (
        "one frame" if clips["seen"] == 1 else f"{clips['seen']} frames ({clips['seen'] / clips['frame_rate']:.2g} s)"
    )
    return f"{kept}; the encoder sees {seen} at a time"


def _labels(found: dict[str, object]) -> str:
    classes = found["classes"]
    assert isinstance(classes, list)
    shown, known = found["visible_labels"], found["labelled"]
    if not classes:
        return "no labels"
    wrong = found["noisy_labels"]
    noise = f", {wrong:,} of them falsified on purpose (--label-noise)" if wrong else ""
    return f"{len(classes)} classes, {shown:,} labels shown in training of {known:,} known{noise}"


def _method(run: RunOutline) -> str:
    why = f", chosen because {run.method_reason}" if run.method_reason else ""
    preset = f", preset {run.preset}" if run.preset else ""
    return f"{method_name(run.method)}{preset}{why} ({run.method.card.paper})"


def _encoder(encoder: EncoderSettings) -> str:
    parts = [f"{encoder.name} on {encoder.image_size} px, {encoder.channels} channel{'s' * (encoder.channels > 1)}"]
    if encoder.small_stem:
        parts.append("with the 3x3 stride-1 stem for small images")
    parts.append(f"starting from {encoder.pretrained}" if encoder.pretrained else "starting at random")
    return ", ".join(parts)


def last_screen(run: RunFolder) -> RenderableType:
    """The scores beside the untrained encoder's, where everything lies, and the line that loads it."""
    parts: list[RenderableType] = []
    if run.scores.exists():
        scores = read_json(run.scores)
        parts += score_tables(scores)
        parts += list(scores.get("notes", []))
    parts += [
        f"encoder  {run.weights}",
        f"page     {run.report}",
        f'load it  likewise.load("{run.path}").encoder',
    ]
    return Group("", *parts)


def score_tables(scores: dict[str, Any]) -> list[RenderableType]:
    """Trained beside its baselines, each with its 95% interval; means over classes and corrupted images apart."""
    tables: list[RenderableType] = []
    names = [score["name"] for score in scores.get("trained", [])]
    if main := [name for name in names if is_main(name)]:
        tables.append(_scores_table("score", main, scores))
    if over_classes := [name for name in names if is_over_classes(name)]:
        tables.append(_scores_table("mean over classes", over_classes, scores))
    if errors := scores.get("calibration", {}).get("trained"):
        tables.append(_calibration_table(list(errors), scores))
    if corruptions := scores.get("corruptions"):
        tables.append(_corruption_table(corruptions))
    return tables


def _encoders(scores: dict[str, Any]) -> list[str]:
    return [who for who in ("trained", "start", "untrained") if scores.get(who)]


def _scores_table(title: str, names: list[str], scores: dict[str, Any]) -> Table:
    encoders = _encoders(scores)
    table = Table(title, *encoders)
    rows = {who: {s.name: s for s in map(Score.from_json, scores[who])} for who in encoders}
    for name in names:
        table.add_row(name + _setting(rows["trained"][name]), *[_cell(rows[who].get(name)) for who in encoders])
    return table


def _calibration_table(names: list[str], scores: dict[str, Any]) -> Table:
    """How far confidence and accuracy lie apart: 0 is perfect."""
    found = scores["calibration"]
    table = Table("calibration error (ECE)", *_encoders(scores))
    for name in names:
        errors = [found.get(who, {}).get(name) for who in _encoders(scores)]
        table.add_row(name.removesuffix("_top1"), *[f"{each['error']:.3f}" if each else "" for each in errors])
    return table


def _corruption_table(found: dict[str, Any]) -> Table:
    """Accuracy of the trained encoder's probe by kind and severity; the others' means over severities beside it."""
    readers = [(reader, who) for reader in ("linear", "classifier") for who in found.get(reader, {})]
    _, *others = readers
    mine = found["linear"]["trained"]
    table = Table(
        "corrupted",
        *map(str, found["severities"]),
        "mean",
        *[who if reader == "linear" else "own" for reader, who in others],
        title="Trained, linear probe, by severity; means of the others (own: own classifier)",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.columns[0].no_wrap = True
    beside = [found[reader][who] for reader, who in others]
    table.add_row(
        "(clean)", *[""] * len(found["severities"]), _share(mine["clean"]), *[_share(b["clean"]) for b in beside]
    )
    for at, kind in enumerate(found["kinds"]):
        row = mine["accuracy"][at]
        table.add_row(kind, *map(_share, row), _share(fmean(row)), *[_share(fmean(b["accuracy"][at])) for b in beside])
    table.add_section()
    by_severity = [_share(fmean(column)) for column in zip(*mine["accuracy"], strict=True)]
    table.add_row("all", *by_severity, *[_share(each["corrupted"]["value"]) for each in (mine, *beside)])
    errors = [_share(error) for error in mine["calibration_error"][1:]]
    table.add_row("calibration", *errors, *[_share(fmean(e["calibration_error"][1:])) for e in (mine, *beside)])
    return table


def _share(value: float) -> str:
    return f"{value:.3f}"


def _cell(score: Score | None) -> str:
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})" if score else ""


def _setting(score: Score) -> str:
    if "temperature" in score.protocol and is_main(score.name):
        return f" (k {score.protocol['k']}, temperature {score.protocol['temperature']})"
    return ""


def findings_table(findings: Findings) -> RenderableType:
    """What the doctor found, each with its remedy."""
    if findings.healthy:
        return f"{findings.images:,} images looked at; nothing is wrong with them."
    table = Table("found", "how often", "for instance", "what it does", "what to do")
    for finding in findings.found:
        table.add_row(
            finding.name, f"{finding.count:,}", " = ".join(finding.groups[0][:2]), finding.meaning, finding.remedy
        )
    return Group(f"{findings.images:,} images looked at.", table)
