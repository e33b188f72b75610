"""The pages about many processes: their examples, run as they stand there."""

from docs.pages import DOCS, run_examples


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
