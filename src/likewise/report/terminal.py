"""The first and the last screen of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from likewise.data.checks.finding import Finding, Findings
from likewise.data.checks.mask_check import MasksFound
from likewise.encoders import EncoderSettings, KeyMatch
from likewise.evaluation.statistics.scores import Score, ScoreDifference
from likewise.json_files import read_object
from likewise.methods import Method, method_name
from likewise.report.record import ENCODERS
from likewise.report.start_comparison import start_warnings
from likewise.report.wording import SPLITS, is_main, is_over_classes
from likewise.run_folder import RunFolder


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
    start_reason: str = ""
    """why it starts from pretrained weights; empty where that was named or not done"""
    key_match: KeyMatch | None = None
    """how the file of weights that it starts from fits the encoder"""
    accumulate_grad_batches: int = 1
    model_ema_decay: float | None = None
    bn_stats_frozen: bool = False
    """whether the encoder's batch normalisation keeps the running statistics that it starts with"""
    encoder_lr_scale: float = 1.0


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
    grid.add_row("data", escape(f"{found['source']}: {_splits(found['splits'])}, {_labels(found)}"))
    if found["clips"]:
        grid.add_row("videos", _videos(found["clips"]))
    if masks:
        grid.add_row("masks", str(masks))
    grid.add_row("method", escape(_method(run)))
    grid.add_row("encoder", escape(_encoder(run.encoder, run.start_reason)))
    for about, what in _start(run):
        grid.add_row(about, escape(what))
    if run.teacher:
        grid.add_row("teacher", escape(run.teacher))
    grid.add_row("training", _training(run, "clips" if found["clips"] else "images"))
    if run.model_ema_decay is not None:
        grid.add_row("weights", f"a moving average of decay {run.model_ema_decay} is scored and saved as the encoder")
    if run.memory:
        grid.add_row("memory", run.memory)
    grid.add_row("output", escape(run.output))
    notes = [f"note: {escape(note)}" for note in found["notes"]]
    return Group(grid, *notes)


def _start(run: RunOutline) -> Iterator[tuple[str, str]]:
    """What is special about an encoder that starts from weights."""
    if run.key_match is not None:
        yield "pretrained", str(run.key_match)
    if run.bn_stats_frozen:
        yield "batch norm", "the encoder's running statistics are frozen (--freeze-bn-stats off lets them move)"
    if run.encoder_lr_scale != 1:
        yield "learning rate", f"the encoder's is {run.encoder_lr_scale:g} times that of heads"


def _splits(splits: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {SPLITS.get(name, name)}" for name, count in splits.items())


def _videos(clips: dict[str, float]) -> str:
    """How many frames of each video are stored, and how many of them the encoder sees."""
    frames = clips["seen"]
    rate = clips["frame_rate"]
    seen = "one frame" if frames == 1 else f"{frames} frames ({frames / rate:.2g} s)"
    stored = f"{clips['stored']} frames of each are stored, {rate:g} per second"
    return f"{stored}; the encoder sees {seen} at a time"


def _labels(found: dict[str, Any]) -> str:
    if targets := found["targets"]:
        kind = "classes, several an image" if targets["task"] == "multilabel" else "numbers an image"
        return f"{len(targets['names'])} {kind}, known of {targets['known']:,} images"
    if not found["classes"]:
        return "no labels"
    sentence = f"{len(found['classes'])} classes, {found['visible_labels']:,} of {found['labelled']:,} labels"
    sentence += " visible to training"
    if wrong := found["noisy_labels"]:
        sentence += f", {wrong:,} of them wrong on purpose (--label-noise)"
    return sentence


def _method(run: RunOutline) -> str:
    why = f", chosen because {run.method_reason}" if run.method_reason else ""
    preset = f", preset {run.preset}" if run.preset else ""
    return f"{method_name(run.method)}{preset}{why} ({run.method.card.paper})"


def _encoder(encoder: EncoderSettings, start_reason: str) -> str:
    channels = "1 channel" if encoder.channels == 1 else f"{encoder.channels} channels"
    parts = [f"{encoder.name} on {encoder.image_size} px, {channels}"]
    if encoder.small_stem:
        parts.append("with the 3x3 stride-1 stem for small images")
    start = f"pretrained: {encoder.pretrained}" if encoder.pretrained else "random initialisation"
    parts.append(f"{start} ({start_reason})" if start_reason else start)
    return ", ".join(parts)


def _training(run: RunOutline, images: str) -> str:
    support = " and a labelled support" if run.method.support else ""
    batch = f"{run.batch_size} {images}{support}"
    if run.accumulate_grad_batches > 1:
        batch = f"{run.accumulate_grad_batches} batches of {batch}"
    return f"{run.steps:,} steps of {batch} ({run.epochs:,.1f} epochs), {run.optimizer}, {run.device}"


def last_screen(run: RunFolder) -> RenderableType:
    """The scores of the trained and the untrained encoder, the paths of the results, and the line that loads it."""
    parts: list[RenderableType] = []
    if run.scores.exists():
        scores = read_object(run.scores)
        parts += score_tables(scores)
        parts += [escape(note) for note in scores.get("notes", [])]
        differences = [ScoreDifference(**each) for each in scores.get("differences", [])]
        by_encoder = {who: [Score.from_json(each) for each in scores.get(who) or []] for who in ENCODERS}
        for warning in start_warnings(by_encoder, differences):
            parts.append(f"[yellow]{escape(warning)}[/yellow]")
    parts += [
        escape(f"encoder  {run.weights}"),
        escape(f"page     {run.report}"),
        escape(f'load it  likewise.load("{run.path}").encoder'),
    ]
    return Group("", *parts)


def score_tables(scores: dict[str, Any]) -> list[RenderableType]:
    """The trained encoder and its baselines with 95% intervals; means over classes and corrupted images apart."""
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
    return [who for who in ENCODERS if scores.get(who)]


def _scores_table(title: str, names: list[str], scores: dict[str, Any]) -> Table:
    encoders = _encoders(scores)
    table = Table(title, *encoders)
    by_encoder: dict[str, dict[str, Score]] = {}
    for who in encoders:
        read = [Score.from_json(content) for content in scores[who]]
        by_encoder[who] = {score.name: score for score in read}
    for name in names:
        cells = [_cell(by_encoder[who].get(name)) for who in encoders]
        table.add_row(name + _setting(by_encoder["trained"][name]), *cells)
    return table


def _calibration_table(names: list[str], scores: dict[str, Any]) -> Table:
    """Expected calibration errors: 0 is perfect."""
    encoders = _encoders(scores)
    found = scores["calibration"]
    table = Table("calibration error (ECE)", *encoders)
    for name in names:
        errors = [found.get(who, {}).get(name) for who in encoders]
        cells = [_number(error["error"]) if error else "" for error in errors]
        table.add_row(name.removesuffix("_top1"), *cells)
    return table


def _corruption_table(found: dict[str, Any]) -> Table:
    """Accuracy of the trained encoder's probe by kind and severity; means over severities of the other classifiers."""
    trained = found["linear"]["trained"]
    others = _other_classifiers(found)
    table = Table(
        "corrupted",
        *map(str, found["severities"]),
        "mean",
        *others,
        title="Trained, linear probe, by severity; means of the others (own: own classifier)",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.columns[0].no_wrap = True
    readings = [trained, *others.values()]
    blank = [""] * len(found["severities"])
    table.add_row("(clean)", *blank, *[_number(reading["clean"]) for reading in readings])
    for at, kind in enumerate(found["kinds"]):
        means = [fmean(reading["accuracy"][at]) for reading in readings]
        table.add_row(kind, *_numbers(trained["accuracy"][at]), *_numbers(means))
    table.add_section()
    by_severity = [fmean(accuracies) for accuracies in zip(*trained["accuracy"], strict=True)]
    overall = [reading["corrupted"]["value"] for reading in readings]
    table.add_row("all", *_numbers(by_severity), *_numbers(overall))
    errors = [fmean(reading["calibration_error"][1:]) for reading in readings]  # the first is of clean images
    table.add_row("calibration", *_numbers(trained["calibration_error"][1:]), *_numbers(errors))
    return table


def _other_classifiers(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The baselines' probes, and the method's own classifier."""
    others: dict[str, dict[str, Any]] = {}
    for who, reading in found["linear"].items():
        if who != "trained":
            others[who] = reading
    for reading in found.get("classifier", {}).values():
        others["own"] = reading
    return others


def _numbers(values: Sequence[float]) -> list[str]:
    return [_number(value) for value in values]


def _number(value: float) -> str:
    return f"{value:.3f}"


def _cell(score: Score | None) -> str:
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})" if score else ""


def _setting(score: Score) -> str:
    if "temperature" in score.protocol and is_main(score.name):
        return f" (k {score.protocol['k']}, temperature {score.protocol['temperature']})"
    return ""


def findings_table(findings: Findings) -> RenderableType:
    """What the doctor found, each with its remedy and one example."""
    checked = f"{findings.images:,} images checked"
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
    return [
        f"{finding.name}: {_named_group(finding, number)}"
        for finding in findings.found
        for number in range(finding.count)
    ]


def _named_group(finding: Finding, number: int, most: int | None = None) -> str:
    """The ids of a group, or the first of them, and what is known about it."""
    ids = " = ".join(finding.groups[number][:most])
    return f"{ids} ({finding.details[number]})" if finding.details else ids
