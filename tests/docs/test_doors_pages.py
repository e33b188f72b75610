"""The pages about views and encoders: their examples run as they stand."""

from docs.pages import run_examples


def test_views(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_examples("views.md")
    assert names["images"].shape == (8, 3, 32, 32) and names["run"].scores


def test_encoders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_examples("encoders.md")
    assert names["features"].shape == (4, 32)
    assert names["second"].encoder.width == names["first"].encoder.width
