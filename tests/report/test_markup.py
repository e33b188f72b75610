import json
import math
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from likewise.report.pages.document import Section, document
from likewise.report.pages.markup import Markup, element, script_json, table


class Seen(HTMLParser):
    """What a browser would make of a page: elements, attributes, text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_text_reaches_the_reader_as_it_stands_and_makes_no_element(text):
    seen = Seen(element("p", text, title=text))
    assert seen.tags == ["p"]
    assert seen.text == text
    assert seen.attributes == [("title", text)]


def test_hostile_names_stay_text_in_tables():
    hostile = "<script>alert('x')</script>\" onmouseover=\"alert(1)"
    seen = Seen(table(hostile, [hostile, "b"], [[hostile, hostile]]))
    assert "script" not in seen.tags
    assert not any(name.startswith("on") for name, _ in seen.attributes)
    assert seen.text.count(hostile) == 4


def test_markup_is_not_escaped_twice_and_attributes_are_renamed():
    made = element(
        "label", Markup("<b>x</b>"), element("input", checked=True, disabled=False, aria_label="a"), for_="y"
    )
    assert made == '<label for="y"><b>x</b><input checked aria-label="a"></label>'


def test_json_in_a_script_cannot_end_the_script_and_has_no_nan():
    content = {"name": "</script><!-- \u2028 &", "values": [1.5, math.nan, -math.inf]}
    text = script_json(content)
    assert "<" not in text and "\u2028" not in text
    assert json.loads(text) == {"name": content["name"], "values": [1.5, None, None]}


def test_two_parts_of_one_id_are_refused():
    """A chart is drawn into the first element of its id, which must be its own."""
    body = [element("div", "a chart", id="scores")]
    with pytest.raises(ValueError, match="scores"):
        document("A page", [], [Section("scores", "Scores", body)], "footer")
    assert document("A page", [], [Section("score", "Scores", body)], "footer")
