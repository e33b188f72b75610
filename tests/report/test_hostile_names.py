"""Names that would be code in a page, formulas in a spreadsheet, or paths out of a folder stay names."""

import csv

import numpy as np
import pytest
from browser import opened

import likewise as lw
from likewise.classification.prediction_file import (
    COLUMNS,
    Prediction,
    PredictionFile,
    read_predictions,
)
from likewise.report.compare import compare

NAMES = [
    "</script><script>window.acted = 1</script>",
    "\"><img src=x onerror='window.acted = 1'>",
    "<a href='javascript:window.acted = 1'>{{ 7 * 7 }}</a>",
    "../../outside",
    "=cmd|' /C calc'!A0",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "a"
    images = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)
    labels = [NAMES[i % len(NAMES)] for i in range(60)]
    settings = {
        "encoder": "conv4-half",
        "batch_size": 8,
        "steps": 2,
        "num_evals": 1,
        "device": "cpu",
        "loggers": (),
    }
    return lw.train((images, labels), method="supcon", out=folder, **settings)


def test_names_stay_text_in_the_browser(chromium, run, tmp_path):
    pages = [run.folder.report, compare([run.folder, run.folder], tmp_path / "compare.html").page]
    for path in pages:
        with opened(chromium, path) as page:
            assert page.evaluate("window.acted") is None
            assert (
                page.locator("img[src=x]").count()
                == page.locator("a[href^=javascript]").count()
                == 0
            )
    with opened(chromium, pages[0]) as page:
        said = page.locator("body").text_content()
        for name in NAMES:
            assert name in said


def test_names_lead_to_no_file(run):
    """Nothing has been written beside the run's folder."""
    assert [path.name for path in run.folder.path.parent.iterdir()] == [run.folder.path.name]
    run.export("torchscript", with_head=True)
    assert [path.name for path in run.folder.path.parent.iterdir()] == [run.folder.path.name]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_names_are_no_formulas_in_a_csv_of_predictions(tmp_path, ending):
    names = [*NAMES, "+1", "-1", "@SUM(1)", "'=quoted", "'plain", "\ttab", "a=b"]
    file = PredictionFile(tmp_path / f"p.{ending}", {})
    file.append([Prediction(name, name, 0.5, name, False, None, "") for name in names])
    file.finish()
    found = read_predictions(tmp_path / f"p.{ending}")
    assert found.schema.names == COLUMNS.names
    assert (
        found["path"].to_pylist()
        == found["class"].to_pylist()
        == found["runner_up"].to_pylist()
        == names
    )
    if ending == "csv":
        rows = list(csv.reader((tmp_path / "p.csv").open(newline="")))
        cells = [cell for row in rows[1:] for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
        assert "a=b" in cells and "'plain" in cells and "0.5" in cells
