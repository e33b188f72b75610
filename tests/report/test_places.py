"""Pictures of places: what is marked is what is alike, and the page opens with all of it."""

import re

import numpy as np
import pytest

from likewise.report.pages.page import write_report
from likewise.report.pictures.locations import alike_places, matched_places, telling_places
from likewise.report.pictures.segments import VOID, painted, palette, segments
from report.test_pages_in_browser import opened
from report.test_pictures import decoded

NAMES = ["road", "<b>sky</b>", "car"]


def places(images=3, side=4, shift=1):
    """Each place has a direction of its own; in image i it lies i * shift places further on."""
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


def test_the_marked_place_is_the_most_alike():
    said = re.findall(r'aria-label="(Image[^"]*)"', "".join(map(str, alike_places(places()))))
    rows = [[tuple(map(int, each)) for each in re.findall(r"in row (\d), column (\d)", line)] for line in said]
    asked = [4 * (row - 1) + column - 1 for row, column in rows[0]]
    for image in (1, 2):
        assert [4 * (row - 1) + column - 1 for row, column in rows[image]] == [(q + image) % 16 for q in asked]
    assert "(1.00)" in said[1] and len(set(asked)) == 3


def test_places_asked_about_are_unlike_each_other():
    features = np.repeat(np.eye(3, dtype=np.float32), [10, 3, 2], axis=0)
    assert sorted(np.digitize(telling_places(features), [10, 13]).tolist()) == [0, 1, 2]


def test_lines_join_the_matched_places():
    text = "".join(map(str, matched_places(matches())))
    lines = re.findall(r'<line x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)"', text)
    cell = 128 / 4
    centre = lambda place, left: (left + (place % 4 + 0.5) * cell, (place // 4 + 0.5) * cell)  # noqa: E731
    assert [tuple(map(float, line)) for line in lines] == [(*centre(5, 0), *centre(v, 160)) for v in (10, 11)]
    assert "2 pairs of places" in text and "no places matched" in text


def test_each_class_has_its_colour_and_void_has_none():
    paint = palette(12)
    assert len({tuple(colour) for colour in paint.tolist()} | {VOID}) == 13
    mask = np.array([[0, 3], [-1, 11]])
    assert painted(mask, paint).tolist() == [[paint[0].tolist(), paint[3].tolist()], [list(VOID), paint[11].tolist()]]


def test_prediction_and_truth_are_what_was_kept():
    kept = places(images=1)
    text = "".join(map(str, segments(kept, IOU)))
    uris = re.findall(r'src="(data:[^"]*)"', text)
    assert (decoded(uris[0]) == kept["images"][0]).all()
    assert (decoded(uris[1]) == painted(kept["predictions"][0], palette(3))).all()
    assert (decoded(uris[2]) == painted(kept["masks"][0], palette(3))).all()
    assert "75.0%" in text and "<b>" not in text and "car" not in text  # a class that the masks do not show


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_all_of_it(chromium, make_run, scheme):
    run = make_run()
    np.savez(run.locations, **places())
    np.savez(run.matches, **matches())
    write_report(run)
    with opened(chromium, run.report, scheme, width=500) as page:
        assert page.locator("nav a").all_text_contents().count("Places it matched") == 1
        assert page.locator("#places svg.marked").count() == 3
        assert page.locator("#matches svg.marked line").count() == 2
        assert page.locator("#segments img").count() == 9
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        fits = page.locator("#segments img").evaluate_all("all => all.map(each => getComputedStyle(each).objectFit)")
        assert set(fits) == {"fill"}  # what was squeezed into a square is drawn in its true shape
        for picture in page.locator("#places image").all():
            assert picture.bounding_box()["width"] == pytest.approx(128 * 4 / 3, abs=1)


def test_a_run_without_pictures_has_no_empty_sections(make_run):
    run = make_run()
    run.locations.write_bytes(b"damaged")
    write_report(run)
    assert "Places it" not in run.report.read_text()
