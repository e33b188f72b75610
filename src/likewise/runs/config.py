"""What a run writes about itself: ``config.json``, and which changes a resumed run may make to it."""

from __future__ import annotations

from typing import Any

from likewise.counts import amount
from likewise.data.loader import Loader
from likewise.data.splitter import DataSplitter
from likewise.errors import LikewiseError
from likewise.json_files import read_object, write_json
from likewise.methods import Recipe, method_name
from likewise.run_folder import FORMAT, UNCOMPARED, RunFolder
from likewise.runs.data_name import name_of
from likewise.runs.prepared import Prepared
from likewise.runs.settings import to_json

LENGTH = ("steps", "settings.steps", "settings.epochs", "extensions")
"""Entries that change when a run is made longer."""


def write_config(
    run: RunFolder,
    data: Any,
    prepared: Prepared,
    loader: Loader,
    resume_line: str,
    microbatches: int,
) -> str:
    """Write ``config.json``; a resumed run must have the settings that it began with, but may be made longer.

    Args:
        run: the folder.
        data: as it was given.
        prepared: every other setting.
        loader: of this run.
        resume_line: what to type to continue the run.
        microbatches: of a device's batch.

    Returns:
        What the extension means for the schedule, as text for the screen; empty where the run is not made longer.

    Raises:
        LikewiseError: the run in the folder has other settings, or is longer.
    """
    steps = prepared.steps(loader)
    # Half as many images on twice as many devices make the same microbatches, so their number is compared.
    several = {"microbatches": microbatches if microbatches > 1 else None}
    config = {**_settings(prepared, data), **several, "steps": steps, "resume": resume_line}
    config["extensions"] = []
    meaning = ""
    if prepared.settings.resume and run.config.exists():
        before = read_object(run.require().config, {"extensions": list})
        _refuse_changes(before, config)
        config["extensions"] = before["extensions"]
        if steps > before["steps"]:
            extension = _extension(prepared.recipe, before["steps"], steps, loader)
            config["extensions"] = [*before["extensions"], extension]
            meaning = _meaning(extension)
    write_json(run.config, config)
    return meaning


def _settings(prepared: Prepared, data: Any) -> dict[str, Any]:
    """What a run was given, and what it has chosen itself."""
    return {
        "format": FORMAT,
        "data": name_of(data),
        "method": {"name": method_name(prepared.method), "settings": to_json(prepared.method)},
        "recipe": to_json(prepared.recipe),
        "encoder": to_json(prepared.encoder),
        "labels": str(DataSplitter(prepared.settings.data_settings).budget),
        "batch_size": prepared.batch_size,
        "settings": to_json(prepared.settings),
    }


def _extension(recipe: Recipe, before: int, now: int, loader: Loader) -> dict[str, Any]:
    """How a run was made longer, for ``config.json``."""
    epoch, batch = loader.steps_per_epoch, loader.batch_size
    # A hundred steps tell: a schedule that depends on the length differs at nearly every one.
    probed = range(0, before, max(before // 100, 1))
    rates_before = [recipe.rate_at(step, before, epoch, batch) for step in probed]
    rates_now = [recipe.rate_at(step, now, epoch, batch) for step in probed]
    return {"from_steps": before, "to_steps": now, "same_learning_rates": rates_before == rates_now}


def _meaning(extension: dict[str, Any]) -> str:
    """The schedule of a longer run in one sentence."""
    lead = f"Extended from {extension['from_steps']:,} to {amount(extension['to_steps'], 'step')}"
    if extension["same_learning_rates"]:
        return f"{lead}. The learning rates so far are those of a run of that length."
    return (
        f"{lead}. From here on the learning rates are those of a run of that length; so far they were those of the "
        f"shorter run, so the result is not that of a run that was longer from the start."
    )


def _refuse_changes(before: dict[str, Any], now: dict[str, Any]) -> None:
    old, new = _flat(before), _flat(now)
    changed: dict[str, str] = {}  # a setting may also stand there as what the run made of it
    for key in sorted(old.keys() | new.keys()):
        name = key.removeprefix("settings.")
        may_change = key in LENGTH or key.rpartition(".")[2] in UNCOMPARED
        if old.get(key) != new.get(key) and not may_change and name not in changed:
            changed[name] = f"{name} was {old.get(key)!r} and is now {new.get(key)!r}"
    if changed:
        raise LikewiseError(
            f"--resume continues a run with the settings that it began with, but {'; '.join([*changed.values()][:4])}. "
            f"Give the same settings again, or start a new run with "
            f"another --out."
        )
    if now["steps"] < before["steps"]:
        raise LikewiseError(
            f"--resume was given with {amount(now['steps'], 'step')}, but the run has {before['steps']:,}: a run can "
            f"be made longer, not shorter. Give --steps {before['steps']} or more, or start a new run with "
            f"another --out."
        )


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level of dotted names."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
