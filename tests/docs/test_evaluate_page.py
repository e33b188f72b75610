"""The page about evaluating: its examples, run as they stand there."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text()


def test_the_examples_run_and_give_scores(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        exec(block, names)
    assert (
        0.7
        < names["lw"]
        .evaluate(names["features"], labels=names["labels"], test=0.25)
        .scores["linear_top1"]
        <= 1
    )
    assert [gain.name for gain in names["evaluation"].differences] == ["knn20_top1", "linear_top1"]
    assert set(names["both"].by_encoder) == {"encoder", "resnet18"}
    printed = capsys.readouterr().out
    assert "linear_top1" in printed and "effective_rank" in printed
    for name in ("knn", "linear", "few_label", "label_free"):
        assert f"| `{name}` |" in PAGE
