"""The documentation site: it builds strictly, its links lead somewhere, and it opens without a network."""

import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))
try:
    from generate import PAGES
finally:
    sys.path.pop(0)

LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}


class Page(HTMLParser):
    """What a page loads, where it links to, and the anchors that it has."""

    def __init__(self, file):
        super().__init__()
        self.loads, self.links, self.anchors = [], [], set()
        self.feed(file.read_text())

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if values.get(LOADED.get(tag)):
            self.loads.append(values[LOADED[tag]])
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        self.anchors |= {value for name, value in attrs if name in ("id", "name")}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built from a copy of what it is made of, so that a test writes nothing into the project."""
    pytest.importorskip("zensical", reason='zensical is not installed: pip install -e ".[docs]"')
    pytest.importorskip(
        "mkdocstrings_handlers.python", reason='no mkdocstrings: pip install -e ".[docs]"'
    )
    project = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "zensical.toml", project)
    shutil.copytree(ROOT / "docs", project / "docs")
    shutil.copytree(
        ROOT / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__", "bundled")
    )
    build = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(build, cwd=project, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return project / "site"


@pytest.fixture(scope="module")
def pages(site):
    return {file: Page(file) for file in sorted(site.rglob("*.html"))}


def test_every_page_of_the_docs_is_built(site):
    written = {
        path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")
    }
    built = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    indices = {path.with_name("index") for path in written if path.name == "README"}
    assert {path for path in written if path.name != "README"} | indices <= built


def test_every_page_of_the_docs_is_in_the_navigation():
    written = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    navigation = (ROOT / "zensical.toml").read_text()
    assert [page for page in sorted(written) if f'"{page}"' not in navigation] == []


def test_internal_links_and_anchors_exist(pages):
    broken = []
    for file, page in pages.items():
        # Its links are relative to wherever the missing page was looked for.
        if file.name == "404.html":
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                broken.append((file.name, link))
            elif (
                parts.fragment
                and target in pages
                and unquote(parts.fragment) not in pages[target].anchors
            ):
                broken.append((file.name, link))
    assert broken == []


def test_no_page_loads_anything_from_elsewhere(pages):
    assert [
        (file.name, load)
        for file, page in pages.items()
        for load in page.loads
        if urlsplit(load).scheme
    ] == []


def test_what_a_page_loads_exists(pages):
    loads = [
        (file, load)
        for file, page in pages.items()
        for load in page.loads
        if file.name != "404.html"
    ]
    assert loads
    assert [
        load for file, load in loads if not (file.parent / urlsplit(load).path).resolve().exists()
    ] == []


def test_the_reference_has_the_public_names(site):
    import likewise as lw

    anchors = set().union(*(Page(file).anchors for file in (site / "reference").glob("*.html")))
    functions = {
        f"likewise.{name}" for name in lw.__all__ if not hasattr(getattr(lw, name), "__path__")
    }
    # A function that has the name of its module is listed under both.
    losses = {f"likewise.losses.{name}" for name in lw.losses.__all__}
    listed = anchors | {anchor.rpartition(".")[0] for anchor in anchors}
    assert functions - anchors == set()
    assert losses - listed == set()


def test_the_site_searches_from_a_folder_without_a_network(site, chromium):
    page = chromium.new_page()
    outside = []
    page.on(
        "request",
        lambda request: outside.append(request.url) if request.url.startswith("http") else None,
    )
    page.goto((site / "index.html").as_uri())
    page.wait_for_function("typeof __index !== 'undefined'")
    page.keyboard.press("/")
    page.keyboard.type("suncet")
    page.wait_for_selector("a[href*='methods/suncet.html'] >> visible=true", timeout=15_000)
    assert outside == []
    page.close()


@pytest.mark.parametrize("page", PAGES)
def test_generated_pages_are_current(page):
    assert (ROOT / "docs" / page).read_text() == PAGES[page](), "run `make docs`"
