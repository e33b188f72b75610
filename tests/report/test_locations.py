"""Pictures of locations: what is marked is what is most similar, and the page opens with all of it."""

import re

import numpy as np
import pytest
from browser import opened
from html_tree import parse

from likewise.report.pages.page import write_report
from likewise.report.pictures.locations import (
    distinct_locations,
    matched_locations,
    similar_locations,
)
from likewise.report.pictures.segments import IGNORED, painted, palette, segments
from report.test_pictures import decoded

NAMES = ["road", "<b>sky</b>", "car"]


def locations(images=3, side=4, shift=1):
    """Each location has a direction of its own; in image i it lies i * shift locations further on."""
    basis = np.eye(side**2, dtype=np.float16)
    masks = np.random.default_rng(0).integers(-1, 3, (images, 16, 16)).astype(np.int16)
    return {
        "images": np.random.default_rng(1).integers(0, 256, (images, 16, 16, 3)).astype(np.uint8),
        "aspect": np.full(images, 4 / 3, np.float32),
        "features": np.stack([np.roll(basis, shift * i, axis=0) for i in range(images)]),
        "masks": masks,
        "predictions": np.where(masks < 0, 0, masks),
        "mask_names": np.array(NAMES),
    }


def matches():
    pairs = np.zeros((2, 16, 16), bool)
    pairs[0, 5, 10] = pairs[0, 5, 11] = True
    views = np.random.default_rng(2).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    return {"first": views, "second": views, "pairs": pairs}


IOU = {"trained": {"road": 0.75, "<b>sky</b>": 0.5}, "untrained": {"road": 0.25}}


def test_the_marked_location_is_the_most_similar():
    drawings = parse(str(similar_locations(locations()))).all("svg")
    marked = [drawing.attributes["aria-label"] for drawing in drawings]
    rows = [
        [tuple(map(int, found)) for found in re.findall(r"row (\d), column (\d)", line)]
        for line in marked
    ]
    queries = [4 * (row - 1) + column - 1 for row, column in rows[0]]
    for image in (1, 2):
        assert [4 * (row - 1) + column - 1 for row, column in rows[image]] == [
            (q + image) % 16 for q in queries
        ]
    assert "(1.00)" in marked[1] and len(set(queries)) == 3


def test_query_locations_are_dissimilar():
    features = np.repeat(np.eye(3, dtype=np.float32), [10, 3, 2], axis=0)
    assert sorted(np.digitize(distinct_locations(features), [10, 13]).tolist()) == [0, 1, 2]


def test_lines_join_the_matched_locations():
    first, second = parse(str(matched_locations(matches()))).all("li")
    lines = [
        [float(line.attributes[end]) for end in ("x1", "y1", "x2", "y2")]
        for line in first.all("line")
    ]
    cell = 128 / 4

    def centre(location, left):
        return [left + (location % 4 + 0.5) * cell, (location // 4 + 0.5) * cell]

    assert lines == [centre(5, 0) + centre(v, 160) for v in (10, 11)]
    assert "2" in first.one("span").text and second.all("line") == []


def test_each_class_has_its_colour_and_ignored_pixels_have_none():
    paint = palette(12)
    assert len({tuple(colour) for colour in paint.tolist()} | {IGNORED}) == 13
    mask = np.array([[0, 3], [-1, 11]])
    expected = [[paint[0].tolist(), paint[3].tolist()], [list(IGNORED), paint[11].tolist()]]
    assert painted(mask, paint).tolist() == expected


def test_prediction_and_truth_are_those_of_the_file():
    stored = locations(images=1)
    part = parse(str(segments(stored, IOU)))
    image, prediction, truth = (decoded(each.attributes["src"]) for each in part.all("img"))
    assert (image == stored["images"][0]).all()
    assert (prediction == painted(stored["predictions"][0], palette(3))).all()
    assert (truth == painted(stored["masks"][0], palette(3))).all()
    rows = part.one("table").rows()
    # No car: the masks show none.
    assert rows[1:] == [["road", "75.0%", "25.0%"], ["<b>sky</b>", "50.0%", "–"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_all_of_it(chromium, make_run, scheme):
    run = make_run()
    np.savez(run.locations, **locations())
    np.savez(run.matches, **matches())
    run.metrics.unlink()
    run.gallery.unlink()
    write_report(run)
    with opened(chromium, run.report, scheme, width=500, charts=False) as page:
        for name in ("segments", "matches", "locations"):
            assert page.locator(f"nav a[href='#{name}']").count() == 1
        assert page.locator("#locations svg.marked").count() == 3
        assert page.locator("#matches svg.marked line").count() == 2
        assert page.locator("#segments img").count() == 9
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        fits = page.locator("#segments img").evaluate_all(
            "all => all.map(each => getComputedStyle(each).objectFit)"
        )
        assert set(fits) == {"fill"}  # what was squeezed into a square is drawn in its true shape
        for picture in page.locator("#locations image").all():
            assert picture.bounding_box()["width"] == pytest.approx(128 * 4 / 3, abs=1)


def test_a_run_without_pictures_has_no_empty_sections(make_run):
    run = make_run()
    run.locations.write_bytes(b"damaged")
    page = write_report(run).read_text()
    assert not any(f'id="{name}"' in page for name in ("segments", "matches", "locations"))
