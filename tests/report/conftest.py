"""Runs to report on, and a browser to look at pages with."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from synthetic_run import write_run

from likewise.run_folder import RunFolder


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """``make_run("a", half=..., speed=..., labels=...)`` writes a run's folder."""
    return lambda name="a", **given: write_run(tmp_path / "runs" / name, **given)


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """A headless browser, or a skip that says why there is none."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if found is None:
        pytest.skip("no chromium on this machine: the pages are not opened")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found,
            args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()
