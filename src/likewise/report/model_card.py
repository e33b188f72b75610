"""A short model card in Markdown: what was trained, what it scored, and whether that is better than its start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from likewise.report.record import ENCODERS, RunRecord
from likewise.report.start_comparison import start_warnings
from likewise.report.wording import is_main, label_budget, percent, score_name
from likewise.run_folder import RunFolder


def model_card(folder: RunFolder) -> str:
    """The card of a finished run; Mitchell et al. 2019, https://arxiv.org/abs/1810.03993, for the idea.

    Raises:
        LikewiseError: the folder holds no run.
    """
    record = RunRecord.read(folder)
    return "\n".join(_lines(record)) + "\n"


def caveats(record: RunRecord) -> list[str]:
    """Sentences that whoever uses the model must know: what training did not gain, or lost."""
    collapsed = [line["collapse"] for line in record.metrics if "collapse" in line]
    return [*start_warnings(record.scores, record.differences), *collapsed]


def _lines(record: RunRecord) -> Iterator[str]:
    settings = record.config.get("settings", {})
    yield f"# {record.name}"
    yield ""
    for sentence in caveats(record):
        yield f"**{sentence}**"
        yield ""
    yield f"{record.method} with {label_budget(settings.get('labels', 'all'))}, trained by likewise."
    yield ""
    trained = [score for score in record.scores["trained"] if is_main(score.name)]
    if not trained:
        yield "It has not been scored."
        return
    encoders = [who for who in ENCODERS if record.scores[who]]
    yield _table_row(["score", *(ENCODERS[who] for who in encoders)])
    yield _table_row(["---"] * (1 + len(encoders)))
    for score in trained:
        cells = [score_name(score.name)]
        for who in encoders:
            found = record.score(who, score.name)
            cells.append(percent(found.value if found else None))
        yield _table_row(cells)


def _table_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
