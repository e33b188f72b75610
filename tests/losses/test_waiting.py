"""On a GPU no loss makes the host wait for the device; tested on a CPU by what would be launched."""

import re
from pathlib import Path

import pytest
import torch

from likewise import losses
from likewise.losses import waiting
from likewise.losses.fused import gpu_sizes
from likewise.losses.log_sums import row_blocks
from likewise.losses.log_sums.similarity_sums import cross_logsumexp, self_logsumexp
from likewise.methods.cross_entropy import label_term, labelled_cross_entropy
from losses import calls
from losses.launches import Launches, Waits


def unit_rows(count, seed, width=8):
    drawn = torch.randn(
        count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return torch.nn.functional.normalize(drawn, dim=1)


IDS = torch.tensor([0, 0, 1, 1, -1, 2, 1, 2])
KEY_IDS = torch.tensor([1, 2, -1, 0, 0, 3])
OWN = torch.tensor([0, 1, -1, 3, 2, 2, -1, 5])
TARGETS = torch.rand(8, 6, dtype=torch.float64).softmax(dim=1)
MATCHED = torch.tensor(
    [[[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]], [[0, 0, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]]]
)

LOSSES = {
    "nt_xent": lambda module, a, b: module.nt_xent(a, a.flip(0)),
    "sup_con out": lambda module, a, b: module.sup_con(a, IDS, kind="out"),
    "sup_con in": lambda module, a, b: module.sup_con(a, IDS, kind="in"),
    "suncet": lambda module, a, b: module.suncet(a, IDS),
    "info_nce out": lambda module, a, b: module.info_nce(a, b, IDS, KEY_IDS, 0.2, OWN),
    "info_nce in": lambda module, a, b: module.info_nce(a, b, IDS, KEY_IDS, 0.2, OWN, kind="in"),
    "info_nce nca": lambda module, a, b: module.info_nce(a, b, IDS, KEY_IDS, 0.2, kind="nca"),
    "queue_nce": lambda module, a, b: module.queue_nce(a, a.flip(0).detach(), b, 0.1),
    "similarity_distillation": lambda module, a, b: module.similarity_distillation(a, a.flip(0), b),
    "soft_nce": lambda module, a, b: module.soft_nce(a, b, TARGETS, 0.1),
    "soft_neighbours": lambda module, a, b: module.soft_neighbours(
        a, b, KEY_IDS.clamp(min=0), classes=5
    )[:, 1].sum(),
    "soft_neighbours, classes uncounted": lambda module, a, b: module.soft_neighbours(
        a, b, KEY_IDS.clamp(min=0)
    )[:, 1].sum(),
    "set_similarity": lambda module, a, b: module.set_similarity(
        a.view(2, 4, 8), b.view(2, 3, 8), MATCHED, a, 0.2
    ),
    "cross-entropy of some rows": lambda module, a, b: labelled_cross_entropy(a, IDS),
    "cross-entropy that may have no row": lambda module, a, b: label_term(a, IDS),
    "cross-entropy of no row": lambda module, a, b: label_term(a, torch.full_like(IDS, -1)),
    "clip_loss": lambda module, a, b: module.clip_loss(a, a.flip(0), 10.0),
    "barlow_twins": lambda module, a, b: module.barlow_twins(a, a.flip(0)),
}


def value_and_gradients(loss, module, dtype=torch.float64):
    leaves = [unit_rows(count, seed).to(dtype).requires_grad_() for seed, count in ((0, 8), (1, 6))]
    value = loss(module, *leaves)
    return value.detach(), torch.autograd.grad(value, leaves, allow_unused=True)


@pytest.mark.parametrize("scores", ["kept", "by blocks of rows"])
@pytest.mark.parametrize("name", LOSSES)
def test_nothing_waits_and_the_numbers_are_the_same(name, scores, monkeypatch):
    value, gradients = value_and_gradients(LOSSES[name], losses)
    if scores != "kept":
        monkeypatch.setattr(gpu_sizes, "KEPT_PAIRS", 0)
        monkeypatch.setattr(row_blocks, "SCORES", 24)
    monkeypatch.setattr(waiting, "_host_holds", lambda tensor: False)
    with Launches():
        found, found_gradients = value_and_gradients(LOSSES[name], losses)
    torch.testing.assert_close(found, value, rtol=1e-11, atol=1e-11)
    for ours, theirs in zip(found_gradients, gradients, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def differentiable(given):
    """A tensor, or a list of them, that takes a gradient if it can."""
    if isinstance(given, list):
        return [differentiable(each) for each in given]
    is_real = isinstance(given, torch.Tensor) and given.is_floating_point()
    return given.clone().requires_grad_() if is_real else given


@pytest.fixture
def launches_of(monkeypatch):
    """Of a public loss, by name, what would be launched forward and backward."""
    monkeypatch.setattr(waiting, "_host_holds", lambda tensor: False)

    def counted(name):
        given = {**calls.CALLS, **calls.MODULES}[name]
        given = {argument: differentiable(value) for argument, value in given.items()}
        with Launches() as forward:
            found = calls.call(name, **given)
        found = found if isinstance(found, tuple) else (found,)
        learned = [each for each in found if each.requires_grad]
        ones = [torch.ones_like(each) for each in learned]
        with Launches() as backward:
            if learned:
                torch.autograd.backward(learned, ones)
        return forward, backward

    return counted


@pytest.mark.parametrize("name", [*calls.CALLS, *calls.MODULES])
def test_no_public_loss_waits_nor_copies_numbers_of_python(name, launches_of):
    """On a GPU a list of indices is copied there first, for which the host waits, and which a graph refuses."""
    for made in launches_of(name):
        assert "aten.lift_fresh" not in made.operations


def launches_of_the_page():
    """(loss, forward, backward) of each loss that docs/gpu.md has as made of PyTorch's operations."""
    page = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text()
    lines = page.split("The other losses are PyTorch's operations")[1].split("\n\n")[1]
    for line in lines.splitlines()[2:]:
        names, *counts = line.strip("| ").split(" | ")
        forward, backward = (count.replace("none", "0").split(", ") for count in counts)
        for name, *both in zip(re.findall(r"`(\w+)`", names), forward, backward, strict=True):
            yield name, *map(int, both)


@pytest.mark.parametrize(("name", "forward", "backward"), list(launches_of_the_page()))
def test_a_loss_launches_no_more_than_the_page_says(name, forward, backward, launches_of):
    found = launches_of(name)
    assert (found[0].count <= forward, found[1].count <= backward) == (True, True)


def test_the_page_has_all_losses():
    page = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text()
    assert [name for name in calls.CALLS if f"`{name}`" not in page] == []


@pytest.mark.parametrize("kept_pairs", [2**26, 0])
@pytest.mark.parametrize("name", ["nt_xent", "sup_con in", "info_nce nca", "clip_loss"])
def test_a_backward_under_autocast_rounds_nothing(name, kept_pairs, monkeypatch):
    monkeypatch.setattr(waiting, "_host_holds", lambda tensor: False)
    monkeypatch.setattr(gpu_sizes, "KEPT_PAIRS", kept_pairs)
    _, gradients = value_and_gradients(LOSSES[name], losses, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, under_autocast = value_and_gradients(LOSSES[name], losses, torch.float32)
    for ours, theirs in zip(under_autocast, gradients, strict=True):
        assert ours is theirs is None or torch.equal(ours, theirs)


@pytest.mark.parametrize("with_ids", [False, True])
@pytest.mark.parametrize("sums_of", [self_logsumexp, cross_logsumexp])
def test_large_batches_of_wide_rows_hold_no_matrix_of_their_scores(sums_of, with_ids):
    """Counted on a device without memory: 32,768 rows of 768 columns have a billion scores, 4 GB in float32."""
    z = torch.empty(32768, 768, device="meta", requires_grad=True)
    ids = torch.empty(32768, dtype=torch.int64, device="meta") if with_ids else None
    with Launches() as made:
        found = (
            self_logsumexp(z, ids) if sums_of is self_logsumexp else sums_of(z, z, None, ids, ids)
        )
        sum(log_sum.sum() for log_sum in found if log_sum is not None).backward()
    assert z.numel() < made.largest <= row_blocks.SCORES


@pytest.mark.parametrize(
    "labels",
    [torch.full((8,), -1), torch.zeros(8, dtype=torch.int64)],
    ids=["no positive", "no negative"],
)
def test_where_nothing_can_be_learned_the_loss_is_no_number(labels, monkeypatch):
    with pytest.raises(losses.LossInputError):
        losses.suncet(unit_rows(8, 0), labels)
    monkeypatch.setattr(waiting, "_host_holds", lambda tensor: False)
    assert losses.suncet(unit_rows(8, 0), labels).isnan()


def test_a_loss_that_looks_at_values_is_found_out():
    with pytest.raises(Waits), Launches():
        losses.suncet(unit_rows(8, 0), IDS)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("nt_xent", (16, 28)),
        ("sup_con out", (64, 36)),
        ("queue_nce", (16, 18)),
        ("similarity_distillation", (28, 10)),
        ("barlow_twins", (11, 14)),
    ],
)
def test_a_loss_of_pytorchs_operations_launches_no_more_than_it_did(name, most, monkeypatch):
    """Forward and backward, where no kernels of ours serve a GPU."""
    monkeypatch.setattr(waiting, "_host_holds", lambda tensor: False)
    leaves = [unit_rows(8, 0).requires_grad_(), unit_rows(6, 1).requires_grad_()]
    with Launches() as forward:
        value = LOSSES[name](losses, *leaves)
    with Launches() as backward:
        torch.autograd.grad(value, leaves, allow_unused=True)
    assert (forward.count <= most[0], backward.count <= most[1]) == (True, True)
