"""What is said of a torchvision that does not belong to the installed torch."""

import sys

import pytest

from likewise import commands
from likewise.cli import main


def fail_with_operators(words):
    if words == ["--help"]:
        return
    raise RuntimeError("operator torchvision::nms does not exist")


def test_torch_and_torchvision_that_do_not_match_are_told_with_the_remedy(
    tmp_path, monkeypatch, capsys
):
    package = tmp_path / "torchvision"
    package.mkdir()
    reason = "operator torchvision::nms does not exist"
    (package / "__init__.py").write_text(f"raise RuntimeError({reason!r})")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(commands, "report", fail_with_operators, raising=False)
    with pytest.raises(SystemExit) as left:
        main(["report", "runs/a"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "pip install --force-reinstall torch torchvision" in said
    assert "has no" not in said


def test_other_runtime_errors_are_raised_as_they_are(monkeypatch):
    monkeypatch.setattr(commands, "report", fail_with_operators, raising=False)
    with pytest.raises(RuntimeError, match="torchvision::nms"):
        main(["report", "runs/a"])
