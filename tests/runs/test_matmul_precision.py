"""A run multiplies float32 matrices as it was told, and records it; a program finds its own setting again."""

import io
import json

import numpy as np
import pytest
import torch
from rich.console import Console

import likewise as lw
from likewise.losses.fused.products import float32_products
from likewise.training.matmul_precision import matmul_precision

DATA = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8), [0, 1] * 12
SETTINGS = dict(
    method="simclr", encoder="conv4-half", steps=2, batch_size=8, num_evals=0, device="cpu"
)


@pytest.fixture(autouse=True)
def as_at_the_start():
    yield
    torch.set_float32_matmul_precision("highest")


class Seen(lw.Callback):
    """What the steps of a run are taken with."""

    def on_step(self, state):
        self.precision = torch.get_float32_matmul_precision()


@pytest.mark.parametrize(
    ("of_program", "given", "expected"),
    [("high", {}, "highest"), ("medium", {"matmul_precision": "high"}, "high")],
)
def test_a_run_has_its_own_and_the_program_its_own_again(tmp_path, of_program, given, expected):
    torch.set_float32_matmul_precision(of_program)
    seen = Seen()
    run = lw.train(DATA, out=tmp_path / "run", callbacks=[seen], **SETTINGS, **given)
    assert seen.precision == expected
    assert torch.get_float32_matmul_precision() == of_program
    assert json.loads(run.folder.environment.read_text())["matmul_precision"] == expected


def test_it_is_put_back_after_an_error_where_devices_differ():
    matrices = torch.backends.cuda.matmul
    if not hasattr(matrices, "fp32_precision"):
        pytest.skip("PyTorch before 2.9 has one setting for all")
    matrices.fp32_precision = "tf32"  # beside which PyTorch refuses to name one for all
    of_cpu = torch.backends.mkldnn.matmul.fp32_precision
    with pytest.raises(KeyError), matmul_precision("medium"):
        assert torch.get_float32_matmul_precision() == "medium"
        raise KeyError
    assert matrices.fp32_precision == "tf32"
    assert torch.backends.mkldnn.matmul.fp32_precision == of_cpu


def test_a_resumed_run_keeps_it(tmp_path):
    settings = {**SETTINGS, "out": tmp_path / "run"}
    lw.train(DATA, matmul_precision="high", **settings)
    with pytest.raises(lw.LikewiseError, match="matmul_precision"):
        lw.train(DATA, resume=True, **{**settings, "steps": 3})
    assert lw.train(DATA, matmul_precision="high", resume=True, **{**settings, "steps": 3})


def test_other_words_are_refused():
    with pytest.raises(lw.LikewiseError, match="matmul_precision"):
        lw.train(DATA, matmul_precision="low", **SETTINGS)


def test_losses_read_it_where_devices_differ():
    matrices = torch.backends.cuda.matmul
    if not hasattr(matrices, "fp32_precision"):
        pytest.skip("PyTorch before 2.9 has one setting for all")
    assert float32_products() == "tf32x3"
    matrices.fp32_precision = "tf32"
    assert float32_products() == "tf32"


def test_a_run_says_that_the_program_has_another(tmp_path):
    screens = []
    for of_program in ("highest", "high"):
        torch.set_float32_matmul_precision(of_program)
        console = Console(file=io.StringIO(), width=200)
        lw.train(DATA, out=tmp_path / of_program, console=console, **SETTINGS)
        screens.append("--matmul-precision high" in console.file.getvalue())
    assert screens == [False, True]
