"""The page about callbacks: its examples, run as they stand there."""

import json
import re
from pathlib import Path

from likewise.runs.settings import TrainSettings
from likewise.training import Callback, CallbackState

PAGE = (Path(__file__).parents[2] / "docs" / "callbacks.md").read_text()


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        exec(block, names)
    lines = [json.loads(line) for line in Path("runs/norms/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "encoder_grad_norm" in line] == [10, 20]
    assert 0 < names["stopped"].scores["knn20_top1"] <= 1
    assert 0 < names["outcomes"][0.06] <= 1
    assert names["outcomes"][1e-6].endswith("at step 10")


def test_every_event_field_and_option_stands_there():
    events = [name for name in vars(Callback) if name.startswith("on_")]
    assert [name for name in events if f"`{name}(state)`" not in PAGE] == []
    fields = [*CallbackState.__dataclass_fields__, "loss", "metrics"]
    assert [
        name for name in fields if name != "newest" and not re.search(rf"`{name}[`(]", PAGE)
    ] == []
    options = ("clip_grad_norm", "accumulate_grad_batches", "microbatch", "model_ema_decay")
    assert all(
        f"`{name}=" in PAGE and name in TrainSettings.__dataclass_fields__ for name in options
    )
