"""N processes are compared with one on the user's own data, and a difference is seen."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import likewise as lw
from likewise.runs.first_steps import FirstSteps
from likewise.runs.verify import Compared, compare, with_rounding

SETTINGS = {"encoder": "conv4-half", "batch_size": 8, "device": "cpu"}
ONE = FirstSteps(
    losses=[2.0, 1.5],
    gradients={"encoder.a": torch.tensor([3.0, 4.0]), "head.a": torch.tensor([1.0])},
    start={"encoder.a": torch.zeros(2), "head.a": torch.zeros(1)},
    end={"encoder.a": torch.ones(2), "head.a": torch.ones(1)},
    scores={"knn20_top1": 0.5, "effective_rank": 10.0},
    device="cpu",
    precision="32-true",
)


def unequal(**changes) -> set[str]:
    return {each.name for each in compare(ONE, ONE._replace(**changes)) if not each.is_equal}


def test_what_agrees_is_equal():
    assert unequal() == set()
    assert (
        unequal(
            losses=[2.00001, 1.5], gradients={**ONE.gradients, "head.a": torch.tensor([1.0001])}
        )
        == set()
    )


@pytest.mark.parametrize(("changes", "named"), [
    ({"losses": [2.0, 1.6]}, "loss of 2 steps"),
    ({"losses": [2.0, float("nan")]}, "loss of 2 steps"),
    ({"gradients": {**ONE.gradients, "head.a": torch.tensor([0.5])}}, "gradient of the head, step 1"),
    ({"gradients": {"encoder.a": ONE.gradients["encoder.a"]}}, "gradient of the head, step 1"),
    ({"gradients": {**ONE.gradients, "encoder.a": torch.tensor([4.0, 3.0])}}, "gradient of the encoder, step 1"),
    ({"end": {**ONE.end, "encoder.a": torch.tensor([1.0, 1.1])}}, "weights and statistics of the encoder"),
    ({"scores": {"knn20_top1": 0.6, "effective_rank": 10.0}}, "knn20_top1"),
    ({"scores": {"knn20_top1": 0.5, "effective_rank": 11.0}}, "effective_rank"),
])  # fmt: skip
def test_what_differs_is_named(changes, named):
    assert unequal(**changes) == {named}


def test_half_precision_may_differ_more():
    half = ONE._replace(precision="bf16-mixed")
    assert all(each.is_equal for each in compare(half, half._replace(losses=[2.0, 1.503])))
    assert unequal(losses=[2.0, 1.503])


def test_what_rounding_of_the_weights_changes_as_much_is_no_difference():
    compared = (
        Compared("gradient", 2e-3, 1e-3),
        Compared("loss", 2e-3, 1e-4),
        Compared("weights", 0.5, 1e-2),
    )
    rounded = [
        (
            Compared("gradient", 1e-3, 1e-3),
            Compared("loss", 1e-7, 1e-4),
            Compared("weights", 0.4, 1e-2),
        )
    ] * 2
    assert [each.is_equal for each in with_rounding(compared, rounded)] == [True, False, False]


@pytest.fixture
def images(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(40) % 2)
    monkeypatch.chdir(tmp_path)
    return "images.npz"


@pytest.mark.parametrize(("changes", "said"), [
    ({"devices": 3}, "8 .*3"), ({"devices": 1}, "devices 1"), ({"microbatch": 3}, "microbatch 3"),
    ({"first_steps": 0}, "first_steps=0"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(images, changes, said):
    with pytest.raises(lw.LikewiseError, match=said):
        lw.verify(images, method="simclr", **{**SETTINGS, **changes})


@pytest.mark.slow
def test_two_processes_are_one_on_the_command_line_and_nothing_is_written(
    likewise, images, tmp_path
):
    done = likewise(
        "verify",
        images,
        "--method",
        "supcon",
        "--devices",
        2,
        "--encoder",
        "conv4-half",
        "--batch-size",
        8,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for quantity in (
        "loss of 3 steps",
        "gradient of the encoder",
        "gradient of the head",
        "knn20_top1",
        "batch-norm",
    ):
        assert quantity in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [images]


SCRIPT = """
import torch
import likewise as lw


class OwnBatchNorm(torch.nn.Module):
    "Statistics of the rows that are here, which no other process sees."

    def forward(self, x):
        return (x - x.mean(dim=0)) / (x.std(dim=0) + 1e-3)


if __name__ == "__main__":
    own = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(16), OwnBatchNorm())
    own(torch.rand(2, 1, 8, 8))
    found = lw.verify("images.npz", method="simclr", encoder=own, batch_size=8, device="cpu", devices=2)
    print("EQUAL", found.is_equal, sorted(each.name for each in found.compared if not each.is_equal))
"""


@pytest.mark.slow
def test_statistics_of_a_users_own_are_seen_to_differ(images, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, timeout=280, cwd=tmp_path
    )
    assert "EQUAL False" in done.stdout and "gradient of the encoder" in done.stdout, (
        done.stdout + done.stderr
    )
