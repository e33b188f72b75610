"""Commands to run next, for a run in its present state."""

from __future__ import annotations

import shlex

from likewise.report.pages.blocks import Block, Commands
from likewise.report.record import RunRecord


def commands(record: RunRecord) -> list[tuple[str, str]]:
    """Pairs of what a command is for, and the command; the most pressing first."""
    run = shlex.quote(str(record.folder.path))
    data = shlex.quote(str(record.config.get("data", "photos/")))
    if not record.finished:
        resume = record.config.get("resume", f"likewise train {data} --out {run} --resume")
        return [("Training has not finished. Resume it:", resume)]
    steps = []
    if not record.scores["trained"]:
        steps.append(
            ("Score the encoder on labelled images:", f"likewise evaluate {run} --data {data}")
        )
    steps.append(("Embed more images:", f"likewise embed {run} photos/ --out vectors.parquet"))
    steps.append(
        (
            "Search for images similar to another:",
            f"likewise search {run} query.jpg --in vectors.parquet",
        )
    )
    steps.append(("Compare with another run:", f"likewise compare {run} runs/other"))
    return steps


def python_lines(record: RunRecord) -> str:
    """Lines that load the encoder."""
    return (
        "import likewise as lw\n\n"
        f"run = lw.load({str(record.folder.path)!r})\n"
        "run.encoder                      # a torch.nn.Module in eval mode\n"
        'vectors = run.embed("photos/")   # ids, and vectors [N, D]'
    )


def next_steps(record: RunRecord) -> list[Block]:
    """The body of the section: commands, then Python."""
    pairs = commands(record)
    if record.finished:
        pairs.append(("Load it in Python:", python_lines(record)))
    return [Commands(pairs)]
