"""The pages about many processes: their examples, run as they stand there."""

import importlib
import json

import pytest

from docs.pages import DOCS, run_examples

BENCHMARKS = DOCS.parent / "benchmarks"


@pytest.fixture
def sharded_vit(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("sharded_vit")


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_examples("many-processes.md")
    assert names["packed"].images == 12
    assert (names["made"].vectors, names["made"].parts) == (12, 3)


def test_the_table_of_the_plan_has_the_numbers_of_its_example():
    names, text = run_examples("scale.md"), (DOCS / "scale.md").read_text()
    for received in names["received"].values():
        assert f"| {received / 1e6:.1f} MB" in text or f"| {received / 1e6:.0f} MB" in text
    for operations, rate in names["operations"].values():
        assert f" {operations / 1e12:.1f} T" in text or f" {operations / 1e12:.2f} T" in text
        assert (
            f"| {operations / rate * 1e3:.1f} |" in text
            or f"| {operations / rate * 1e3:.0f} |" in text
        )


def test_the_tables_of_transformers_have_the_numbers_of_the_formulas(sharded_vit):
    stored = json.loads((BENCHMARKS / "results" / "sharded_vit.json").read_text())["tables"]
    plans = [sharded_vit.plan_table(size, 64) for size in sharded_vit.LARGE]
    assert [table["rows"] for table in stored[2:]] == [list(map(list, plan.rows)) for plan in plans]


def test_the_formulas_count_what_a_small_transformer_does(sharded_vit):
    small = sharded_vit.SMALL
    network = sharded_vit.network_of(small)
    assert sum(each.numel() for each in network.parameters()) == small.parameters
    sharded_vit.check_small_network()
