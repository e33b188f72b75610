"""Pages as a reader meets them: opened in headless Chromium, with the network watched."""

import io

import numpy as np
import pytest
import torch
from browser import opened
from PIL import Image
from synthetic_run import CLASSES, write_run

from likewise.report.compare import compare
from likewise.report.pages.label_curve import LabelPoint, write_label_curve_page
from likewise.report.pages.page import write_report
from likewise.report.pictures.illustration import Illustration, Picture
from likewise.run_folder import RunFolder
from likewise.studies import feature_decoupling
from likewise.studies.decoupling_page import write_decoupling_page
from likewise.studies.threshold_neurons import Learning


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunFolder:
    """A run with its page written."""
    run = write_run(tmp_path_factory.mktemp("runs") / "a")
    write_report(run)
    return run


@pytest.fixture(scope="module")
def comparison_page(run, tmp_path_factory):
    others = [
        write_run(tmp_path_factory.mktemp("runs") / name, half=16_000) for name in ("<b>b", "c")
    ]
    return compare([run, *others], run.path.parent / "compare.html").page


@pytest.fixture(scope="module")
def decoupling_page(tmp_path_factory):
    learned = feature_decoupling.run(seeds=2, learning=Learning(neurons=20, rows=32, steps=30))
    return write_decoupling_page(
        learned, tmp_path_factory.mktemp("study") / "study.html", {"machine": "<any>"}
    )


def contrast(first: str, second: str) -> float:
    """WCAG 2.2 contrast of two ``rgb(r, g, b)`` colours."""

    def luminance(colour: str) -> float:
        shares = np.array([float(part) for part in colour.strip("rgb()").split(",")[:3]]) / 255
        linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def test_charts_are_drawn_and_names_stay_text(chromium, run):
    with opened(chromium, run.report) as page:
        assert page.locator("#loss .scatterlayer .trace").count() == 1
        assert page.locator("#accuracy .scatterlayer .trace .point").count() == 10
        # One trace of rightly and one of wrongly read images for each class, and one legend entry.
        assert page.locator("#map .scatterlayer .trace").count() == 2 * len(CLASSES)
        assert page.locator("#map .scatterlayer .point").count() == 30 * len(CLASSES)
        assert page.locator("#map .legendtext").all_text_contents() == CLASSES
        assert page.locator(".neighbours img").count() == 10 * 9
        assert page.locator("img:not([alt])").count() == 0
        rows = page.locator(".confusion tbody th").all_text_contents()
        assert rows == CLASSES


def test_a_methods_own_pictures_fit_a_narrow_screen(chromium, tmp_path):
    run = write_run(tmp_path / "drawn")
    picture = Picture(
        torch.full((3, 12, 12), 0.5), "12.5%", "most repelling images (uniform: 0.79% each)"
    )
    row = [
        picture._replace(column="a view", caption=""),
        *[picture._replace(column="attracting views")] * 4,
        *[picture] * 6,
    ]
    Illustration("Attraction and repulsion", "The nearest most.", [row] * 3).save(run.illustration)
    write_report(run)
    for width in (1200, 380):
        with opened(chromium, run.report, width=width) as page:
            assert page.locator("#illustration img").count() == 33
            assert page.locator("#illustration figcaption").all_text_contents()[:2] == [
                "a view",
                "attracting views",
            ]
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            drawn = (
                page.locator("#illustration img")
                .nth(5)
                .evaluate("image => [image.naturalWidth, image.width]")
            )
            assert drawn == [12, 56]


def test_the_pointer_brings_up_the_picture_of_its_own_example(chromium, run):
    with np.load(run.gallery) as gallery:
        thumbnails, ids = gallery["thumbnails"], gallery["ids"]
    with opened(chromium, run.report) as page:
        page.locator("#map").scroll_into_view_if_needed()
        # The card hides when the page scrolls, so the event of this scroll must be over.
        page.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        for trace, point in ((0, 3), (4, 20), (9, 1), (11, 2)):
            mark = (
                page.locator("#map .scatterlayer .trace")
                .nth(trace)
                .locator(".point")
                .nth(point)
                .bounding_box()
            )
            page.mouse.move(mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2)
            page.wait_for_selector(".hover-card:not([hidden])")
            example = int(page.locator(".hover-card").get_attribute("data-example"))
            assert example % len(CLASSES) == trace // 2
            assert page.locator(".hover-card p").last.text_content() == ids[example]
            drawn = Image.open(
                io.BytesIO(page.locator(".hover-card .picture").screenshot())
            ).convert("RGB")
            assert drawn.size == (112, 112)
            assert np.abs(np.asarray(drawn, dtype=int) - thumbnails[example, 0, 0]).max() <= 2
            page.mouse.move(5, 5)
            page.wait_for_selector(".hover-card", state="hidden")


def test_the_axis_can_be_chosen_by_keyboard(chromium, run):
    with opened(chromium, run.report) as page:
        last = "(({data, layout}) => [data[0].x.at(-1), layout.xaxis.title.text])(document.getElementById('loss'))"
        assert page.evaluate(last) == [204_800, "images seen"]
        page.locator("input[value=images]").focus()
        page.keyboard.press("ArrowRight")
        assert page.evaluate(last) == [pytest.approx(40.96), "seconds of training"]
        assert page.locator("#accuracy .xtitle").text_content() == "seconds of training"
        page.keyboard.press("ArrowRight")
        assert page.evaluate(last) == [200, "steps"]


def assert_legible(page) -> None:
    """Text has a contrast of 4.5 with what is behind it, marks of a chart 3 (WCAG 2.2, 1.4.3 and 1.4.11)."""
    # Charts are drawn anew for another scheme; a text in between has no colour.
    page.wait_for_timeout(1500)
    behind = page.evaluate("getComputedStyle(document.body).backgroundColor")
    shades = {
        "color": ("h1", ".verdict strong", "caption", "figcaption", "td", "nav a"),
        "fill": ("#map .legendtext", "#loss .xtick text", "#loss .ytitle"),
    }
    for kind, selectors in shades.items():
        for selector in selectors:
            colour = page.locator(selector).first.evaluate(f"each => getComputedStyle(each).{kind}")
            assert contrast(colour, behind) >= 4.5, selector
    marks = "each => each.map(mark => getComputedStyle(mark).fill)"
    colours = page.locator("#map .legend .traces .legendpoints path").evaluate_all(marks)
    assert len(set(colours)) == len(CLASSES)
    assert min(contrast(colour, behind) for colour in colours) >= 3


def test_light_dark_and_paper_are_followed_and_legible(chromium, run):
    ink = "() => getComputedStyle(document.querySelector('#map .legendtext')).fill"
    with opened(chromium, run.report) as page:
        light = page.evaluate(ink)
        assert_legible(page)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(f"({ink})() !== '{light}'")
        assert (
            contrast(
                page.evaluate("getComputedStyle(document.body).backgroundColor"),
                "rgb(255, 255, 255)",
            )
            > 10
        )
        assert_legible(page)
        page.emulate_media(media="print", color_scheme="dark")
        page.wait_for_function(f"({ink})() === '{light}'")
        assert_legible(page)


def test_a_page_that_opens_in_the_dark_is_legible(chromium, comparison_page):
    with opened(chromium, comparison_page, "dark") as page:
        behind = page.evaluate("getComputedStyle(document.body).backgroundColor")
        text = page.locator("#accuracy .legendtext").first.evaluate(
            "each => getComputedStyle(each).fill"
        )
        assert contrast(text, behind) >= 4.5


def test_nothing_sticks_out_on_a_narrow_screen(
    chromium, run, comparison_page, decoupling_page, tmp_path
):
    points = [LabelPoint(2, 0.6, 0.55, 0.65, 10), LabelPoint(None, 0.9, 0.89, 0.91, 10)]
    arms = {"SimCLR": points, "SupCon": points[1:]}
    curve_page = write_label_curve_page(arms, "Found.", tmp_path / "demo.html")
    for path in (run.report, comparison_page, decoupling_page, curve_page):
        with opened(chromium, path, width=360) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_curves_of_runs_lie_over_one_another(chromium, comparison_page):
    with opened(chromium, comparison_page) as page:
        assert page.locator("#accuracy .scatterlayer .trace").count() == 3
        assert page.locator("#accuracy .legendtext").all_text_contents() == ["a", "<b>b", "c"]
        dashes = [
            each.evaluate("line => line.style.strokeDasharray")
            for each in page.locator("#accuracy .js-line").all()
        ]
        assert len(set(dashes)) == 3  # distinct without colour
        page.locator("input[value=seconds]").check()
        assert page.locator("#accuracy .xtitle").text_content() == "seconds of training"


def test_neurons_of_four_cases_are_drawn(chromium, decoupling_page):
    with opened(chromium, decoupling_page, "dark") as page:
        titles = [case.title for case in feature_decoupling.CASES.values()]
        assert page.locator("#sorted .legendtext").all_text_contents() == titles
        assert page.locator("#sorted .scatterlayer .point").count() == 4 * 20
        assert page.locator("#points .scatterlayer .point").count() == 4 * 20
        for name in ("#course-purity", "#course-span"):
            assert page.locator(f"{name} .scatterlayer .trace").count() == 4
        assert page.locator("#claims tbody tr").count() == 6
        assert "machine <any>" in page.locator("#how").text_content()
