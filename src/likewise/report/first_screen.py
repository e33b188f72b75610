"""The first screen of a run: what was found in the data, and what will happen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from likewise.counts import amount
from likewise.data.checks.mask_check import MasksFound
from likewise.encoders import EncoderSettings, KeyMatch
from likewise.methods import Method, method_name
from likewise.report.wording import SPLITS


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


def first_screen(
    found: dict[str, Any], masks: MasksFound | None, run: RunOutline
) -> RenderableType:
    """What was found in the data, and what will happen.

    Args:
        found: as `likewise.report.data_summary.summarise_data` gives it.
        masks: the classes of the masks, where training and test images have masks.
        run: what will happen.
    """
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    for about, what in (*_data(found, masks), *_learning(run, found["clips"] is not None)):
        grid.add_row(about, escape(what))
    notes = [f"note: {escape(note)}" for note in found["notes"]]
    return Group(grid, *notes)


def _data(found: dict[str, Any], masks: MasksFound | None) -> Iterator[tuple[str, str]]:
    """Rows about the data."""
    yield "data", f"{found['source']}: {_splits(found['splits'])}, {_labels(found)}"
    if found["clips"]:
        yield "videos", _videos(found["clips"])
    if masks:
        yield "masks", str(masks)


def _learning(run: RunOutline, is_of_clips: bool) -> Iterator[tuple[str, str]]:
    """Rows about what will happen."""
    yield "method", _method(run)
    yield "encoder", _encoder(run.encoder, run.start_reason)
    yield from _start(run)
    if run.teacher:
        yield "teacher", run.teacher
    yield "training", _training(run, "clips" if is_of_clips else "images")
    if run.model_ema_decay is not None:
        average = f"a moving average of decay {run.model_ema_decay}"
        yield "weights", f"{average} is scored and saved as the encoder"
    if run.memory:
        yield "memory", run.memory
    yield "output", run.output


def _start(run: RunOutline) -> Iterator[tuple[str, str]]:
    """Rows about an encoder that starts from weights."""
    if run.key_match is not None:
        yield "pretrained", str(run.key_match)
    if run.bn_stats_frozen:
        yield (
            "batch norm",
            "the encoder's running statistics are frozen (--freeze-bn-stats off lets them move)",
        )
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
        kind = (
            "classes, several an image" if targets["task"] == "multilabel" else "numbers an image"
        )
        return f"{len(targets['names'])} {kind}, known of {amount(targets['known'], 'image')}"
    if not found["classes"]:
        return "no labels"
    labels = f"{found['visible_labels']:,} of {amount(found['labelled'], 'label')}"
    sentence = f"{amount(len(found['classes']), 'class', 'classes')}, {labels}"
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
    return f"{amount(run.steps, 'step')} of {batch} ({run.epochs:,.1f} epochs), {run.optimizer}, {run.device}"
