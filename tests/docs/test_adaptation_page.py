"""The page about pretrained starts: its examples, run as they stand there, and its options."""

import typing
from pathlib import Path

import pytest
import torch

from docs.pages import DOCS, run_examples
from likewise.adaptation import Adaptation
from likewise.runs.settings import TrainSettings
from likewise.training.guard_action import Action


@pytest.mark.slow
def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_examples("adaptation.md")
    count = len(names["train"])
    assert names["predicted"].shape == (count,) and names["probabilities"].shape == (count, 10)
    assert list(names["student"].encoder.state_dict()) == list(names["encoder"].state_dict())
    labelled = names["visible"] >= 0
    assert torch.equal(
        names["found"].pseudo_labels[labelled].argmax(dim=1), names["visible"][labelled]
    )


def test_every_choice_stands_there():
    page = Path(DOCS / "adaptation.md").read_text()
    assert all(f"| `{action}` |" in page for action in typing.get_args(Action))
    assert all(
        str(Adaptation.parse(name)) in page for name in ("frozen", "lora", "full", "full:0.75")
    )
    assert {"adapt", "head_init", "on_decline"} <= set(TrainSettings.__dataclass_fields__)
