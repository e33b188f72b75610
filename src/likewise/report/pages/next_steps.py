"""What to type next, for a run in its present state."""

from __future__ import annotations

import shlex

from likewise.report.pages.markup import Child, element
from likewise.report.record import RunRecord


def commands(record: RunRecord) -> list[tuple[str, str]]:
    """Pairs of what a command is for, and the command; the most pressing first."""
    run = shlex.quote(str(record.folder.path))
    data = shlex.quote(str(record.config.get("data", "photos/")))
    if not record.finished:
        again = record.config.get("resume", f"likewise train {data} --out {run} --resume")
        return [("Training has not ended. Go on where it stopped:", again)]
    steps = []
    if not record.scores["trained"]:
        steps.append(("Measure how good it is, on images with labels:", f"likewise evaluate {run} --data {data}"))
    steps.append(("Turn more images into vectors:", f"likewise embed {run} photos/ --out vectors.parquet"))
    steps.append(("Find what looks like a picture:", f"likewise search {run} query.jpg --in vectors.parquet"))
    steps.append(("Lay another run beside this one:", f"likewise compare {run} runs/other"))
    return steps


def python_lines(record: RunRecord) -> str:
    """Lines that load the encoder."""
    return (
        "import likewise as lw\n\n"
        f"run = lw.load({str(record.folder.path)!r})\n"
        "run.encoder                      # a torch.nn.Module in eval mode\n"
        'vectors = run.embed("photos/")   # ids, and vectors [N, D]'
    )


def next_steps(record: RunRecord) -> list[Child]:
    """The body of the section: commands, then Python."""
    typed = [[element("p", purpose), element("pre", element("code", line))] for purpose, line in commands(record)]
    load = [element("p", "Load it in Python:"), element("pre", element("code", python_lines(record)))]
    return [*typed, *(load if record.finished else [])]
