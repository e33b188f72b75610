"""Photograph pages for the README: python tools/take_pictures.py runs/demo, after `likewise demo`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def photograph(
    page_file: Path, target: Path, height: int, first: str, folded: bool = False
) -> None:
    """The top of a page as a PNG, 1,000 pixels wide; ``first`` is what must be drawn before the picture is taken."""
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--headless", "--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_page(viewport={"width": 1000, "height": height})
        page.goto(page_file.resolve().as_uri(), timeout=120_000)
        page.wait_for_selector(first, timeout=60_000)
        if folded:  # the part about what to type next is text that the README has itself
            page.add_style_tag(content="section#next { display: none }")
        page.wait_for_timeout(1500)
        page.screenshot(path=target, clip={"x": 0, "y": 0, "width": 1000, "height": height})
        browser.close()


if __name__ == "__main__":
    runs = Path(sys.argv[1])
    photograph(runs / "demo.html", IMAGES / "demo.png", 910, ".js-plotly-plot svg")
    photograph(
        runs / "simclr" / "report.html",
        IMAGES / "run.png",
        2250,
        ".js-plotly-plot svg",
        folded=True,
    )
