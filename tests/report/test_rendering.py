"""Whatever is in a name, a page stays the page that it was meant to be."""

import json
import math

import jinja2
import pytest
from html_tree import parse
from hypothesis import given
from hypothesis import strategies as st
from plotly import graph_objects as go

from likewise.report.pages.blocks import (
    Cell,
    Commands,
    Fold,
    ListBlock,
    Note,
    Section,
    TableBlock,
    Text,
)
from likewise.report.pages.chart import chart, figure
from likewise.report.pages.document import document
from likewise.report.pages.rendering import render

HOSTILE = "<script>alert('x')</script>\" onmouseover=\"alert(1)"


def page_of(*blocks, **words):
    return parse(document("A page", [], [Section("part", "Part", blocks)], **words)).one("section")


LETTERS = st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]) | st.sampled_from(
    "<>&;\"'/=!-abl"
)


@given(st.text(LETTERS, min_size=1))
def test_text_reaches_the_reader_as_it_is_and_makes_no_element(text):
    table = page_of(TableBlock(text, ["head"], [[text]]))
    assert [cell.text for cell in table.all("caption")] == [text]
    assert table.one("div", class_="table").attributes["aria-label"] == text
    assert table.rows() == [["head"], [text]]


def test_hostile_names_stay_text_in_every_block():
    blocks = [
        HOSTILE,
        Text(HOSTILE),
        ListBlock([HOSTILE]),
        Note([HOSTILE], HOSTILE),
        Commands([(HOSTILE, HOSTILE)]),
        Fold(
            HOSTILE, [TableBlock(HOSTILE, [HOSTILE], [[HOSTILE, Cell(HOSTILE, HOSTILE, HOSTILE)]])]
        ),
    ]
    part = page_of(*blocks)
    assert part.all("script") == []
    assert not any(name.startswith("on") for element in part for name in element.attributes)
    assert part.text.count(HOSTILE) == 14


def test_a_chart_s_json_cannot_end_its_script_and_has_no_nan():
    name = "</script><!-- \u2028 &"
    drawn = figure([go.Scatter(x=[0, 1, 2], y=[1.5, math.nan, -math.inf], name=name)])
    part = page_of(chart("loss", drawn, HOSTILE, HOSTILE, lines=[name, math.nan]))
    content = part.one("script", **{"data-chart": "loss"}).children
    assert len(content) == 1 and "<" not in content[0] and "\u2028" not in content[0]
    read = json.loads(content[0], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read["lines"] == [name, None]
    assert read["figure"]["data"][0]["y"] == [1.5, None, None]
    assert part.one(id="loss").attributes["aria-label"] == part.one("figcaption").text == HOSTILE


def test_a_name_that_a_template_does_not_get_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="tone"):
        render("verdict.html", sentence="", conclusion="", note="")


def test_an_id_that_is_used_twice_is_refused():
    """A chart is drawn into the first element of its id, which must be its own."""
    drawn = chart("scores", figure([]), "")
    with pytest.raises(ValueError, match="scores"):
        document("A page", [], [Section("scores", "Scores", [drawn])])
    assert document("A page", [], [Section("score", "Scores", [drawn])])
