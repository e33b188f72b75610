"""The page about GPUs: its examples, run on a CPU with a stand-in for the graph."""

import re

import torch

from docs.pages import DOCS
from likewise.training import captured_step

PAGE = (DOCS / "gpu.md").read_text()


class Again:
    def __init__(self, work):
        self.work, self.result = work, None

    def replay(self):
        self.result = self.work()


def test_the_examples_train(monkeypatch):
    monkeypatch.setattr(captured_step, "captured", Again)
    examples = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.S))
    images = torch.randint(0, 256, (4, 4, 3, 32, 32), dtype=torch.uint8)
    names = {
        "loader": [
            (batch, torch.zeros(4, dtype=torch.int64)) for batch in images.repeat(2, 1, 1, 1, 1)
        ],
        "all_images": images.flatten(0, 1).repeat(2, 1, 1, 1),
        "all_labels": torch.zeros(32, dtype=torch.int64),
    }
    exec(examples.replace('"cuda"', '"cpu"').replace("batch_size = 512", "batch_size = 4"), names)
    assert names["progress"].step == 7
    assert names["at"].step == 7
    assert names["take"].failed == names["take_stored"].failed == ""
    assert torch.isfinite(names["step"].loss)
    assert names["network"].conv1.weight.grad is not None


def test_each_value_of_the_option_stands_there():
    for value in captured_step.CUDAGraph.__args__:
        assert f"`{value}`" in PAGE
