"""The page that shows how to write a method: its code, run as it stands there."""

import re
from pathlib import Path

import pytest
import torch

import likewise as lw
from likewise.losses.float32 import unit
from likewise.methods import Method
from methods.fixtures import SIZE, loader, nets_of, progress

PAGE = (Path(__file__).parents[2] / "docs" / "add-a-method.md").read_text()
FILE, USE = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The names that the page's file defines; from a real file, since dataclasses look their module up."""
    import importlib.util
    import sys

    file = tmp_path_factory.mktemp("page") / "align_uniform.py"
    file.write_text(FILE)
    spec = importlib.util.spec_from_file_location("align_uniform", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["align_uniform"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["align_uniform"]


def test_its_losses_are_the_papers(written):
    torch.manual_seed(0)
    first, second = (unit(torch.randn(5, 3, dtype=torch.float64)) for _ in range(2))
    by_hand = sum(float(((a - b) ** 2).sum()) for a, b in zip(first, second, strict=True)) / 5
    assert float(written.alignment(first, second)) == pytest.approx(by_hand, rel=1e-12)
    pairs = [
        float((-2 * ((first[i] - first[j]) ** 2).sum()).exp()) for i in range(5) for j in range(i)
    ]
    assert written.uniformity(first).exp().item() == pytest.approx(
        sum(pairs) / len(pairs), rel=1e-12
    )


def test_every_part_learns(written):
    from likewise.methods import with_view_size

    rule = with_view_size(written.AlignUniform(hidden=16, dim=8), SIZE)
    nets = nets_of(rule)
    rule.step(nets, loader(rule).batch(3), progress()).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in nets.parameters())


def test_it_trains_before_it_is_registered(written, tmp_path, monkeypatch, fewer_garments):
    monkeypatch.chdir(tmp_path)
    exec(USE, {"AlignUniform": written.AlignUniform})
    run = lw.load("runs/mine")
    assert 0 < run.scores["knn20_top1"] <= 1
    assert "uniformity" in (tmp_path / "runs" / "mine" / "metrics.jsonl").read_text()


def test_its_table_has_every_member_of_the_contract():
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    members = {
        name for name in (*vars(Method), *Method.__annotations__) if not name.startswith("_")
    }
    assert listed == members
    assert len(members) <= 15
