"""The page of UGAN on a plane: points, fakes and regions of each arm, errors, and whether the inequalities hold."""

from __future__ import annotations

from collections.abc import Mapping
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
        return "" if errors is None else f"{fmean(errors):.1%} ({min(errors):.1%} to {max(errors):.1%})"

    return {name: [cell(by.get(labels)) for labels in (LABELS, *OTHER_LABELS)] for name, by in found.errors.items()}


def _map(name: str, picture: PlanePicture, found: Toy) -> Chart:
    """Regions in the classes' colours, points in grey, labels and fakes on top."""
    classes = found.plane.classes
    side = picture.regions.shape[0]
    steps = [index / (side - 1) for index in range(side)]
    scale = [[(each + end) / classes, colour(each)] for each in range(classes) for end in (0, 1)]
    traces = [
        go.Heatmap(
            x=steps, y=steps, z=picture.regions.tolist(), zmin=-0.5, zmax=classes - 0.5, colorscale=scale, opacity=0.22,
            showscale=False, hoverinfo="skip",
        ),
        _points("without labels", picture.points[picture.visible_labels < 0], "#7d8694", "circle", 3),
    ]  # fmt: skip
    for each in range(classes if picture.good is not None else 0):
        assert picture.good is not None and picture.good_classes is not None
        made = picture.good[picture.good_classes == each]
        traces.append(_points(f"good fakes, class {each}", made, colour(each), MARKERS[each], 5))
    if picture.bad is not None:
        traces.append(_points("bad fakes", picture.bad, "#111111", "x-thin-open", 6))
    for each in range(classes):
        traces.append(
            _points(f"labelled {each}", picture.points[picture.visible_labels == each], colour(each), "star", 14)
        )
    drawn = figure(traces)
    drawn.update_layout(showlegend=True)
    drawn.update_xaxes(range=[0, 1]).update_yaxes(range=[0, 1], scaleanchor="x")
    mistakes = found.errors[name][LABELS][0]
    caption = f"{name}, seed {found.seeds[0]}: {mistakes:.1%} of unseen points are taken for another class."
    key = name.lower().replace(" ", "-")
    return chart(key, drawn, caption, caption, height=520)


def _points(name: str, points: Tensor, paint: str, symbol: str, size: int) -> go.Scatter:
    return go.Scatter(
        x=points[:, 0].tolist(), y=points[:, 1].tolist(), mode="markers", name=name, hovertemplate=name,
        marker={"color": paint, "symbol": symbol, "size": size, "line": {"color": paint, "width": 1}},
    )  # fmt: skip


def _errors(found: Toy) -> TableBlock:
    rows = [[name, *cells] for name, cells in _cells(found).items()]
    caption = f"Mean error on unseen points of {len(found.seeds)} seeds; in brackets lowest to highest."
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
