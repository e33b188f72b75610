"""The page about data: its examples, run as they stand."""

from docs.pages import DOCS, run_examples


def test_every_source_on_the_page_can_be_opened(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    names = run_examples("data.md")
    assert len(names["embedded"].vectors) == 48
    assert names["run"].scores["linear_top1"] >= 0
    assert names["both"]["train"].num_rows == 4
    assert len(names["manifest"]) == 6
    assert len(list((tmp_path / "copies").glob("*.parquet"))) == 2
    assert "transpose(0, 2, 3, 1)" in capsys.readouterr().out


def test_every_extra_on_the_page_can_be_installed():
    project = (DOCS.parent / "pyproject.toml").read_text()
    for extra in ("datasets", "dicom", "remote", "tiff"):
        assert f"likewise[{extra}]" in (DOCS / "data.md").read_text()
        assert f"\n{extra} = [" in project
