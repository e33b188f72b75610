"""The first and the last screen of a run."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table

from likewise.data.doctor import Findings
from likewise.evaluation.scores import Score
from likewise.methods import method_name
from likewise.run_folder import RunFolder, read_json
from likewise.training.prepare import Prepared


def first_screen(
    prepared: Prepared, run: RunFolder, steps: int, device: str, memory: str = "", earlier: Prepared | None = None
) -> RenderableType:
    """What was found in the data, and what will happen; first of all an ``earlier`` run, if there is one."""
    found = prepared.found()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    grid.add_row("data", f"{found['source']}: {_splits(found['splits'])}, {_labels(found)}")
    grid.add_row("method", _method(prepared))
    grid.add_row("encoder", _encoder(prepared))
    if teacher := _teacher(prepared, run, earlier):
        grid.add_row("teacher", teacher)
    rows = f"{prepared.batch_size} images" + (" and a labelled support" if prepared.method.support else "")
    epochs = steps * prepared.batch_size / max(found["splits"]["train"], 1)
    grid.add_row("training", f"{steps:,} steps of {rows} ({epochs:,.1f} epochs), {prepared.recipe.optimizer}, {device}")
    if memory:
        grid.add_row("memory", memory)
    grid.add_row("output", str(run.path))
    notes = [f"note: {note}" for note in found["notes"]] + [f"[yellow]warning: {w}[/yellow]" for w in found["warnings"]]
    return Group(grid, *notes)


def _splits(splits: dict[str, int]) -> str:
    names = {"train": "to train on", "val": "to validate", "test": "to test"}
    return ", ".join(f"{count:,} {names[name]}" for name, count in splits.items())


def _labels(found: dict[str, object]) -> str:
    classes = found["classes"]
    assert isinstance(classes, list)
    shown, known = found["labels_shown"], found["labelled"]
    if not classes:
        return "no labels"
    wrong = found["labels_falsified"]
    noise = f", {wrong:,} of them falsified on purpose (--label-noise)" if wrong else ""
    return f"{len(classes)} classes, {shown:,} labels shown in training of {known:,} known{noise}"


def _method(prepared: Prepared) -> str:
    why = f", chosen because {prepared.method_reason}" if prepared.method_reason else ""
    preset = f", preset {prepared.settings.preset}" if prepared.settings.preset else ""
    return f"{method_name(prepared.method)}{preset}{why} ({type(prepared.method).paper})"


def _encoder(prepared: Prepared) -> str:
    encoder = prepared.encoder
    parts = [f"{encoder.name} on {encoder.image_size} px, {encoder.channels} channel{'s' * (encoder.channels > 1)}"]
    if encoder.small_stem:
        parts.append("with the 3x3 stride-1 stem for small images")
    parts.append(f"starting from {encoder.pretrained}" if encoder.pretrained else "starting at random")
    return ", ".join(parts)


def _teacher(prepared: Prepared, run: RunFolder, earlier: Prepared | None) -> str:
    """Whom the method learns from; nothing where it has no teacher."""
    if earlier is None:
        return str(getattr(prepared.method, "teacher", ""))
    when = "trained already" if run.teacher.done else "trained first"
    return f"{method_name(earlier.method)} on {_encoder(earlier)}, {when}, in {run.teacher.path}"


def last_screen(run: RunFolder) -> RenderableType:
    """The scores beside the untrained encoder's, where everything lies, and the line that loads it."""
    parts: list[RenderableType] = []
    if run.scores.exists():
        scores = read_json(run.scores)
        if scores.get("trained"):
            parts.append(scores_table(scores))
        parts += list(scores.get("notes", []))
    parts += [
        f"encoder  {run.weights}",
        f"page     {run.report}",
        f'load it  likewise.load("{run.path}").encoder',
    ]
    return Group("", *parts)


def scores_table(scores: dict[str, list[dict[str, object]]]) -> Table:
    """Trained beside its baselines, each with its 95% interval."""
    encoders = [who for who in ("trained", "start", "untrained") if scores.get(who)]
    table = Table("score", *encoders)
    rows = {who: {s.name: s for s in map(Score.from_json, scores[who])} for who in encoders}
    for name, score in rows["trained"].items():
        cells = [_cell(rows[who].get(name)) for who in encoders]
        table.add_row(name + _setting(score), *cells)
    return table


def _cell(score: Score | None) -> str:
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})" if score else ""


def _setting(score: Score) -> str:
    if "temperature" in score.protocol:
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
