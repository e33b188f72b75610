"""Outcomes of claims on a GPU stand beside the small ones."""

import pytest


@pytest.fixture
def generate(monkeypatch):
    import importlib

    monkeypatch.syspath_prepend("docs")
    return importlib.import_module("generate")


def on_gpu(verdict):
    statement = {
        "sentence": "A - B",
        "relation": ">=",
        "bound": 0.0,
        "unit": "points",
        "over_seeds": "mean",
        "by_seed": [0.021, 0.025],
        "value": 0.023,
        "verdict": verdict,
        "premise": "",
    }
    return {
        "verdict": verdict,
        "data": "CIFAR-10 (JPEG)",
        "encoder": "timm/resnet18",
        "device": "NVIDIA H100",
        "day": "2026-12-01",
        "seeds": [0, 1],
        "statements": [statement],
    }


@pytest.mark.parametrize("small", ["holds here", "does not hold here"])
def test_a_claim_at_size_has_its_seeds_and_says_where_the_small_run_differed(generate, small):
    section = generate.gpu_section({"verdict": small}, on_gpu("holds here"))
    assert "NVIDIA H100" in section and "seeds: 0, 1" in section
    assert (
        "| A - B. | >= +0.0 points | +2.3 points | +2.1 points | +2.5 points | holds here |"
        in section
    )
    assert ("did not show" in section) == (small != "holds here")
    worse = generate.gpu_section({"verdict": small}, on_gpu("does not hold here"))
    assert ("run showed" in worse) == (small == "holds here")


def test_a_verdict_at_size_has_its_number_of_seeds(generate):
    assert generate.verdict_at_size(None) == "not run"
    assert generate.verdict_at_size(on_gpu("holds here")) == "holds here, 2 seeds"


def test_only_outcomes_that_a_gpu_wrote_are_shown(generate, tmp_path):
    assert generate.gpu_outcome(tmp_path, "isd-rare") is None
    (tmp_path / "gpu").mkdir()
    (tmp_path / "gpu" / "isd-rare.json").write_text('{"verdict": "holds here"}')
    assert generate.gpu_outcome(tmp_path, "isd-rare") == {"verdict": "holds here"}
