"""The page of UGAN on a plane: points, fakes and regions of each arm, errors, and whether the inequalities hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean

import plotly.graph_objects as go
from rich import table as terminal
from torch import Tensor

from likewise.report.pages.blocks import ListBlock, Section, TableBlock, Text
from likewise.report.pages.chart import MARKERS, Chart, chart, colour, figure
from likewise.report.pages.document import document, write_page
from likewise.report.wording import duration, listed
from likewise.studies.inequalities import inequalities_table
from likewise.studies.ugan_toy import LABELS, OTHER_LABELS, PlanePicture, Toy

TITLE = "Do good and bad fakes teach a classifier more together?"

IDEA = (
    "A handful of points is labelled. A good generator makes points of a class, and a discriminator judges whether a "
    "point and its class belong together; a bad generator makes points where none are, and the classifier learns "
    "that they are of no class. UGAN is reconstructed from Triple-GAN and Bad-GAN, for its paper could not be had."
)

MEASURES = [f"{labels} labels per class" for labels in (LABELS, *OTHER_LABELS)]


CAPTION = "Inequalities, each of means over the seeds."


def write_ugan_page(found: Toy, out: Path, environment: Mapping[str, str]) -> Path:
    """Write the page.

    Args:
        found: what the study found.
        out: the page.
        environment: what it was made on, for its last section.

    Raises:
        LikewiseError: ``out`` is a file that is not a page of likewise.
        EnvironmentIOError: the page cannot be written.
    """
    pictures = [_map(name, picture, found) for name, picture in found.pictures.items()]
    sections = [
        Section("maps", "Decision regions", pictures),
        Section("errors", "Errors", [_errors(found)]),
        Section("claims", "Inequalities", [inequalities_table(found.claims, CAPTION, 3)]),
        Section("how", "How it was made", [_how(found, environment)]),
    ]
    return write_page(out, document(TITLE, [Text(found.sentence, "verdict"), IDEA], sections))


def errors_table(found: Toy) -> terminal.Table:
    """Errors for the terminal."""
    title = f"Mean error of seeds {found.seeds}, and lowest to highest"
    numbers = terminal.Table(terminal.Column("learns from", no_wrap=True), *MEASURES, title=title)
    for name, cells in _cells(found).items():
        numbers.add_row(name, *cells)
    return numbers


def _cells(found: Toy) -> dict[str, list[str]]:
    def cell(errors: list[float] | None) -> str:
        return (
            ""
            if errors is None
            else f"{fmean(errors):.1%} ({min(errors):.1%} to {max(errors):.1%})"
        )

    cells = {}
    for name, by_labels in found.errors.items():
        cells[name] = [cell(by_labels.get(labels)) for labels in (LABELS, *OTHER_LABELS)]
    return cells


def _map(name: str, picture: PlanePicture, found: Toy) -> Chart:
    """Regions in the classes' colours, points in grey, labels and fakes on top."""
    classes = found.plane.classes
    traces = [
        _regions(picture.regions, classes),
        _points(
            "without labels", picture.points[picture.visible_labels < 0], "#7d8694", "circle", 3
        ),
        *_fakes(picture, classes),
    ]
    for each in range(classes):
        labelled = picture.points[picture.visible_labels == each]
        traces.append(_points(f"labelled {each}", labelled, colour(each), "star", 14))
    drawn = figure(traces)
    drawn.update_layout(showlegend=True)
    drawn.update_xaxes(range=[0, 1]).update_yaxes(range=[0, 1], scaleanchor="x")
    mistakes = found.errors[name][LABELS][0]
    caption = f"{name}, seed {found.seeds[0]}: {mistakes:.1%} of unseen points are taken for another class."
    key = name.lower().replace(" ", "-")
    return chart(key, drawn, caption, caption, height=520)


def _regions(regions: Tensor, classes: int) -> go.Heatmap:
    """The class of each location [S, S] of the plane, one flat colour each."""
    side = regions.shape[0]
    steps = [index / (side - 1) for index in range(side)]
    scale = []
    for each in range(classes):
        scale += [[each / classes, colour(each)], [(each + 1) / classes, colour(each)]]
    return go.Heatmap(
        x=steps,
        y=steps,
        z=regions.tolist(),
        zmin=-0.5,
        zmax=classes - 0.5,
        colorscale=scale,
        opacity=0.22,
        showscale=False,
        hoverinfo="skip",
    )


def _fakes(picture: PlanePicture, classes: int) -> Iterator[go.Scatter]:
    """What the generators make, where there are any."""
    if picture.good is not None and picture.good_classes is not None:
        for each in range(classes):
            made = picture.good[picture.good_classes == each]
            yield _points(f"good fakes, class {each}", made, colour(each), MARKERS[each], 5)
    if picture.bad is not None:
        yield _points("bad fakes", picture.bad, "#111111", "x-thin-open", 6)


def _points(name: str, points: Tensor, paint: str, symbol: str, size: int) -> go.Scatter:
    return go.Scatter(
        x=points[:, 0].tolist(),
        y=points[:, 1].tolist(),
        mode="markers",
        name=name,
        hovertemplate=name,
        marker={
            "color": paint,
            "symbol": symbol,
            "size": size,
            "line": {"color": paint, "width": 1},
        },
    )


def _errors(found: Toy) -> TableBlock:
    rows = [[name, *cells] for name, cells in _cells(found).items()]
    caption = (
        f"Mean error on unseen points of {len(found.seeds)} seeds; in brackets lowest to highest."
    )
    return TableBlock(caption, ["learns from", *MEASURES], rows)


def _how(found: Toy, environment: Mapping[str, str]) -> ListBlock:
    plane, rule = found.plane, found.rule
    facts = [
        f"{plane.points} points in {plane.classes} bent arms, as many of each class; errors on {plane.test:,} others.",
        f"All networks have two hidden layers of 64 units. {plane.steps} steps, each with a turn of every player, of "
        f"{plane.batch} points without and {rule.images_per_class * plane.classes} with labels.",
        "Losses and turns are those of --method ugan: the study trains that method, with networks of the plane.",
        f"Seeds {listed([str(seed) for seed in found.seeds])}, {duration(found.seconds)}; "
        + ", ".join(f"{name} {value}" for name, value in environment.items())
        + ".",
        "Li et al. 2019, reconstructed from Triple-GAN (arXiv 1703.02291) and Bad-GAN (arXiv 1705.09783).",
    ]
    return ListBlock(facts)
