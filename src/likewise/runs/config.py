"""What a run writes about itself: ``config.json``, and which changes a resumed run may make to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from likewise.data.splitter import DataSplitter
from likewise.errors import LikewiseError
from likewise.methods import method_name
from likewise.run_folder import FORMAT, UNCOMPARED, RunFolder, read_json, write_json
from likewise.runs.prepare import Prepared
from likewise.runs.settings import to_json


def write_config(run: RunFolder, data: Any, prepared: Prepared, resume_line: str, microbatches: int) -> None:
    """Write ``config.json``; a resumed run must have the settings that it began with.

    Args:
        run: the folder.
        data: as it was given.
        prepared: every other setting.
        resume_line: what to type to continue the run.
        microbatches: of a device's batch.

    Raises:
        LikewiseError: the run in the folder has other settings.
    """
    config = {
        "format": FORMAT,
        "data": str(data) if isinstance(data, str | Path) else f"{type(data).__name__} in memory",
        "method": {"name": method_name(prepared.method), "settings": to_json(prepared.method)},
        "recipe": to_json(prepared.recipe),
        "encoder": to_json(prepared.encoder),
        "labels": str(DataSplitter(prepared.settings).budget),
        "batch_size": prepared.batch_size,
        # Half as many images on twice as many devices make the same microbatches, so their number is compared.
        "microbatches": microbatches if microbatches > 1 else None,
        "resume": resume_line,
        "settings": to_json(prepared.settings),
    }
    if prepared.settings.resume and run.config.exists():
        _refuse_changes(read_json(run.require().config), config)
    write_json(run.config, config)


def _refuse_changes(before: dict[str, Any], now: dict[str, Any]) -> None:
    old, new = _flat(before), _flat(now)
    changed = [
        f"{name} was {old.get(name)!r} and is now {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and name.rpartition(".")[2] not in UNCOMPARED
    ]
    if changed:
        raise LikewiseError(
            f"--resume continues a run with the settings that it began with, but {'; '.join(changed[:4])}. "
            f"Give the same settings again, or start a new run with another --out."
        )


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level of dotted names."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
