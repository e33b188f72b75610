"""The page about shards and many processes: its examples, run as they stand there."""

from docs.pages import run_examples


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_examples("many-processes.md")
    assert names["packed"].images == 12
    assert (names["made"].vectors, names["made"].parts) == (12, 3)
