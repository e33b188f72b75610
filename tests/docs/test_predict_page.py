"""The page about predicting: its examples, run as they stand there, and its numbers."""

import pyarrow.parquet as parquet

from docs.pages import DOCS, run_examples
from likewise.classification.prediction_file import COLUMNS
from likewise.classification.selective import fewest


def test_the_examples_run(tmp_path, monkeypatch, fewer_garments):
    monkeypatch.chdir(tmp_path)
    names = run_examples("predict.md")
    assert list(names["table"]) == COLUMNS.names and len(names["table"]) == 8
    assert parquet.read_table("predictions.parquet").num_rows > 200
    assert names["threshold"].reachable
    assert names["probabilities"].shape == (300, 3)


def test_columns_formats_and_numbers_stand_there():
    page = (DOCS / "predict.md").read_text()
    for column in COLUMNS.names:
        assert f"| `{column}` |" in page
    assert f"{fewest(0.95)} held-out labels" in page and f"{fewest(0.9)} for 0.9" in page
