"""What tests of several areas need: the command line in a process of its own, and a browser to look at pages with."""

import functools
import gc
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("COLUMNS", "120")


def pytest_collectstart() -> None:
    """Before tests are imported, by the processes that run them; the one of xdist that deals them out does not."""
    import_in_a_quick_way()


@functools.cache
def import_in_a_quick_way() -> None:
    """PyTorch with one thread, and Fabric without torchmetrics, which tests would import with it for two seconds."""
    import torch

    from likewise.training.fabric_import import load_fabric

    # Tests are many and small; threads only get in each other's way.
    torch.set_num_threads(1)
    load_fabric()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first, so that no process of xdist works on one alone at the end."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture
def likewise(tmp_path):
    """Run the command line; what it said, and its exit code."""

    def call(*words, timeout=240, **settings):
        environment = {**os.environ, "COLUMNS": "160", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
        return subprocess.run(
            [sys.executable, "-m", "likewise.cli", *map(str, words)],
            capture_output=True, text=True, cwd=tmp_path, timeout=timeout, env=environment, **settings,
        )  # fmt: skip

    return call


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """A headless browser, or a skip that says why there is none."""
    found = next(
        (
            path
            for name in ("chromium", "chromium-browser", "google-chrome")
            if (path := shutil.which(name))
        ),
        None,
    )
    if found is None:
        pytest.skip("no chromium on this machine: the pages are not opened")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    playwright = sync_api.sync_playwright().start()
    yield playwright.chromium.launch(
        executable_path=found,
        args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
    )
    # Neither is closed, since that may wait for ever: the browser ends when its pipe to this process does.
    end_forked_processes()


def end_forked_processes() -> None:
    """Those that a test has left hold copies of that pipe."""
    gc.collect()
    for process in multiprocessing.active_children():
        process.kill()
        process.join()
