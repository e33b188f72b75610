"""The page of feature decoupling: where each neuron points, how it got there, and whether the inequalities hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import plotly.graph_objects as go
from rich import table as terminal

from likewise.counts import amount
from likewise.report.pages.blocks import ListBlock, Section, TableBlock, Text
from likewise.report.pages.chart import MARKERS, Chart, chart, colour, figure, line_style
from likewise.report.pages.document import document, write_page
from likewise.report.wording import duration, listed, percent
from likewise.studies.feature_decoupling import CASES, Decoupling, Measured
from likewise.studies.inequalities import inequalities_table

TITLE = "Why does contrastive learning need augmentation?"

COLUMNS = {
    "span": "within the sparse features' span",
    "purity": "|cosine| with the best feature",
    "found": "features found",
    "same_sparse": "similarity, same sparse part",
    "same_dense": "similarity, same dense part",
}
"""heads of the table's columns"""


CAPTION = "Inequalities that every seed must meet."


def write_decoupling_page(found: Decoupling, out: Path, environment: Mapping[str, str]) -> Path:
    """Write the page.

    Args:
        found: the study's results.
        out: the page.
        environment: machine and versions, for the last section.

    Raises:
        LikewiseError: ``out`` is a file that is not a page of likewise.
        EnvironmentIOError: the page cannot be written.
    """
    sections = [
        Section("neurons", "Where the neurons point", [_sorted_chart(found), _points_chart(found)]),
        Section(
            "course",
            "During training",
            [_course_chart(found, "purity"), _course_chart(found, "span")],
        ),
        Section("numbers", "Numbers", [_numbers(found)]),
        Section("claims", "Inequalities", [inequalities_table(found.claims, CAPTION, 2)]),
        Section("how", "How it was simulated", [_how(found, environment)]),
    ]
    return write_page(out, document(TITLE, [Text(found.sentence, "verdict"), IDEA], sections))


IDEA = (
    "Each image is a few sparse features, the useful ones, under dense noise that has more energy than they have. "
    "A mask that gives every pixel to one of two views makes the views' noise independent; what they share is sparse. "
    "Without it, the noise identifies the image of a view best, so the noise is learned."
)


def _sorted_chart(found: Decoupling) -> Chart:
    """Neurons in order of their |cosine| with the sparse feature that they fit best."""
    traces, summary = [], []
    for name, paint, first in _firsts(found):
        best = sorted(first.best, reverse=True)
        rank = list(range(1, len(best) + 1))
        hover = "%{y:.2f}, neuron %{x}"
        traces.append(_line(paint, CASES[name].title, rank, best, "lines+markers", hover))
        summary.append(f"{CASES[name].title}: from {best[0]:.2f} down to {best[-1]:.2f}")
    drawn = figure(traces, "|cosine| with its best sparse feature", "neurons in order")
    drawn.update_layout(showlegend=True).update_yaxes(range=[0, 1.02])
    caption = f"Seed {found.seeds[0]}; 1 is a neuron that is one sparse feature and nothing else."
    return chart(
        "sorted",
        drawn,
        "|Cosine| of each neuron with its best sparse feature. " + "; ".join(summary),
        caption,
    )


def _points_chart(found: Decoupling) -> Chart:
    """One point for each neuron: sparse or dense along one axis, one feature or a mixture along the other."""
    points = [_case_points(name, paint, first) for name, paint, first in _firsts(found)]
    axes = "|cosine| with its best sparse feature", "|cosine| with the span of them all"
    drawn = figure([_diagonal(), *points], *axes)
    drawn.update_layout(showlegend=True)
    drawn.update_xaxes(range=[0, 1.02]).update_yaxes(range=[0, 1.02])
    caption = (
        f"One point for each neuron, seed {found.seeds[0]}. Left is dense, right is sparse; below the dotted "
        f"line a neuron mixes several features. The mask moves neurons to the right, ReLU moves them up."
    )
    centres: list[str] = []
    for name, _, first in _firsts(found):
        within, one = fmean(first.within), first.purity
        centres.append(f"{CASES[name].title}: {within:.2f} with the span, {one:.2f} with one")
    alternative = "Mean |cosines| of neurons. " + "; ".join(centres)
    return chart("points", drawn, alternative, caption, height=460)


def _diagonal() -> go.Scatter:
    """Where neurons lie that mix no features."""
    return go.Scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": colour(9), "dash": "dot", "width": 1},
        name="a single feature, nothing mixed in",
        hoverinfo="skip",
    )


def _case_points(name: str, paint: int, first: Measured) -> go.Scatter:
    return go.Scatter(
        x=first.within,
        y=first.best,
        mode="markers",
        name=CASES[name].title,
        marker={"color": colour(paint), "symbol": MARKERS[paint], "size": 8, "opacity": 0.8},
        hovertemplate="%{x:.2f} with the span, %{y:.2f} with one feature",
    )


def _course_chart(found: Decoupling, measure: str) -> Chart:
    """A measure over training, mean over seeds."""
    traces, ends = [], []
    for name, paint, _ in _firsts(found):
        title = CASES[name].title
        steps, values = _mean_course(found.cases[name], measure)
        traces.append(_line(paint, title, steps, values, "lines", "%{y:.2f} after %{x} steps"))
        ends.append(f"{title} {values[0]:.2f} to {values[-1]:.2f}")
    titles = {
        "purity": "|cosine| with its best sparse feature",
        "span": "share within the sparse features' span",
    }
    drawn = figure(traces, titles[measure], "steps")
    drawn.update_layout(showlegend=True).update_yaxes(range=[0, 1.02])
    caption = f"Mean over neurons and {amount(len(found.seeds), 'seed')}."
    if measure == "span":
        chance = found.data.features / found.data.pixels
        caption += f" Weights that know nothing have {chance:.3f}; the rest of a neuron's squared length is dense."
    alternative = f"{titles[measure]}, mean over neurons: {'; '.join(ends)}"
    return chart(f"course-{measure}", drawn, alternative, caption)


def _mean_course(outcomes: Sequence[Measured], measure: str) -> tuple[list[int], list[float]]:
    """The steps at which a measure was taken, and its mean over seeds."""
    courses = [outcome.course for outcome in outcomes]
    values = []
    for moments in zip(*courses, strict=True):  # of all seeds after the same step
        values.append(fmean(getattr(moment, measure) for moment in moments))
    return [moment.step for moment in courses[0]], values


def _line(
    paint: int, name: str, x: Sequence[float], y: Sequence[float], mode: str, hovertemplate: str
) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        mode=mode,
        name=name,
        hovertemplate=hovertemplate + "<extra>%{fullData.name}</extra>",
        **line_style(paint, size=6),
    )


def _firsts(found: Decoupling) -> list[tuple[str, int, Measured]]:
    """Each case, the index of its colour, and its results with the first seed."""
    return [
        (name, paint, outcomes[0]) for paint, (name, outcomes) in enumerate(found.cases.items())
    ]


def spread(values: Sequence[float]) -> str:
    """Lowest to highest over seeds: ``0.86 to 0.90``, or one number where they agree."""
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def neurons_table(found: Decoupling) -> terminal.Table:
    """The neurons' measures, for the terminal."""
    title = f"Lowest to highest over seeds {found.seeds}"
    numbers = terminal.Table(
        terminal.Column("neurons", no_wrap=True), *COLUMNS.values(), title=title
    )
    for row in _rows(found):
        numbers.add_row(*row)
    return numbers


def _rows(found: Decoupling) -> list[list[str]]:
    """For each case its title, and each measure over seeds."""
    rows = []
    for name, outcomes in found.cases.items():
        row = [CASES[name].title]
        for key in COLUMNS:
            row.append(spread([getattr(outcome, key) for outcome in outcomes]))
        rows.append(row)
    return rows


def _numbers(found: Decoupling) -> TableBlock:
    caption = (
        f"Lowest to highest of {amount(len(found.seeds), 'seed')}. Similarity is the mean cosine of the responses to "
        f"two images that share one part and differ in the other. {percent(_empty(found), 0)} of images hold no "
        f"feature at all, so similarity under a shared sparse part cannot reach 1."
    )
    return TableBlock(caption, ["neurons", *COLUMNS.values()], _rows(found))


def _empty(found: Decoupling) -> float:
    return (1 - found.data.chance) ** found.data.features


def _how(found: Decoupling, environment: Mapping[str, str]) -> ListBlock:
    data, learning = found.data, found.learning
    energy = data.noise**2 * data.pixels / (data.chance * data.features)
    facts = [
        f"Images x = M z + noise of {data.pixels} pixels: {data.features} orthonormal features, each there with chance "
        f"{data.chance} and either sign; noise of deviation {data.noise} in every pixel, {energy:.1f} times the "
        f"features' energy.",
        f"{learning.neurons} neurons, one layer; InfoNCE over {learning.rows} new images a step, temperature "
        f"{learning.temperature}, no gradient through keys; Adam at {learning.learning_rate}, weight decay "
        f"{learning.weight_decay}, {amount(learning.steps, 'step')}. Measured on images without a mask.",
        f"ReLU neurons respond beyond a threshold, of either sign; it rises to {learning.threshold} of their length.",
        f"Seeds {listed([str(seed) for seed in found.seeds])}, {duration(found.seconds)}; "
        + ", ".join(f"{name} {value}" for name, value in environment.items())
        + ".",
        "Wen & Li 2021, arXiv 2105.15134. The sizes are ours; docs/studies/feature-decoupling.md says what else is.",
    ]
    return ListBlock(facts)
