"""What losses refuse, by the argument that is wrong: shapes that would broadcast, empty batches, odd temperatures."""

import pytest
import torch

from likewise import losses
from likewise.losses import LossInputError
from likewise.losses.regression import masked_l1
from losses.calls import CALLS, MODULES, call, tensor_arguments

ROWS, FEWER, NONE = torch.randn(4, 3), torch.randn(1, 3), torch.zeros(0, 3)
QUEUE = torch.randn(6, 3)

OF_A_PAIR = {
    "queue_nce": (lambda a, b: losses.queue_nce(a, b, QUEUE, 0.2), "positives"),
    "similarity_distillation": (
        lambda a, b: losses.similarity_distillation(a, b, QUEUE),
        "teacher",
    ),
    "cosine_regression": (losses.cosine_regression, "target"),
    "soft_cross_entropy": (losses.soft_cross_entropy, "targets"),
    "knowledge_distillation": (lambda a, b: losses.knowledge_distillation(a, b, 2.0), "teacher"),
}


@pytest.mark.parametrize("name", OF_A_PAIR)
def test_one_row_is_not_broadcast_to_all(name):
    loss, second = OF_A_PAIR[name]
    with pytest.raises(LossInputError, match=rf"{second}.*\(1, 3\)"):
        loss(ROWS, FEWER)


@pytest.mark.parametrize("name", OF_A_PAIR)
def test_an_empty_batch_has_no_mean(name):
    loss, _ = OF_A_PAIR[name]
    with pytest.raises(LossInputError, match=r"\(0, 3\)"):
        loss(NONE, NONE)


@pytest.mark.parametrize(
    "temperature", [float("inf"), float("nan"), 0, -1.0, None, "0.1", torch.tensor(float("inf"))]
)
def test_a_temperature_is_finite_and_above_0(temperature):
    with pytest.raises(LossInputError, match="temperature"):
        losses.nt_xent(torch.randn(4, 3), torch.randn(4, 3), temperature)


def test_a_frame_that_is_masked_out_may_hold_nan():
    prediction = torch.randn(2, 3, 4, requires_grad=True)
    target, valid = torch.randn(2, 3, 4), torch.tensor([[1, 1, 0], [1, 0, 0]])
    expected = masked_l1(prediction, target, valid)
    target[0, 2] = float("nan")
    found = masked_l1(prediction, target, valid)
    found.backward()
    assert torch.equal(found, expected)
    assert prediction.grad.isfinite().all()


def test_frames_that_do_not_fit_are_named():
    with pytest.raises(LossInputError, match="target"):
        masked_l1(torch.randn(2, 3, 4), torch.randn(1, 3, 4), torch.ones(2, 3))
    with pytest.raises(LossInputError, match="valid"):
        masked_l1(torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.ones(2, 2))
    with pytest.raises(LossInputError, match="valid"):
        masked_l1(torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.zeros(2, 3))


TENSORS = list(tensor_arguments())
ODD = {
    "a list": lambda rows: rows.tolist(),
    "an array": lambda rows: rows.numpy(),
    "nothing": lambda rows: None,
    "complex numbers": lambda rows: rows.to(torch.complex64),
    "an empty batch": lambda rows: rows[:0],
    "one dimension more": lambda rows: rows[..., None, None],
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize(
    ("name", "argument"), TENSORS, ids=[f"{name}-{argument}" for name, argument in TENSORS]
)
def test_every_loss_names_the_tensor_that_does_not_fit(name, argument, kind):
    given = {**CALLS, **MODULES}[name][argument]
    with pytest.raises(LossInputError, match=argument):
        call(name, **{argument: ODD[kind](given)})


def test_every_public_loss_is_walked():
    public = {name for name in losses.__all__ if name != "LossInputError"}
    assert public == {*CALLS, *MODULES}


@pytest.mark.parametrize("name", [*CALLS, *MODULES])
def test_the_valid_call_is_accepted(name):
    found = call(name)
    for value in found if isinstance(found, tuple) else (found,):
        assert value.isfinite().all()


@pytest.mark.parametrize("rows", [torch.randn(4, 3), torch.randn(4, 2, 3)])
@pytest.mark.parametrize(
    "loss", [losses.sup_con, losses.SupConLoss(), losses.suncet, losses.SuNCEtLoss()]
)
def test_a_label_below_minus_1_is_named(loss, rows):
    if (
        rows.dim() == 3
        and loss not in (losses.sup_con,)
        and not isinstance(loss, losses.SupConLoss)
    ):
        return  # SuNCEt has no views
    with pytest.raises(LossInputError, match=r"labels.*-2"):
        loss(rows, torch.tensor([-1, -2, 0, 0]))
    assert loss(rows, torch.tensor([1, 1, 0, 0])).isfinite()


def test_a_support_label_below_minus_1_is_named():
    with pytest.raises(LossInputError, match=r"labels.*-2"):
        losses.soft_neighbours(ROWS, ROWS, torch.tensor([-2, 1, 0, 0]))


def test_views_of_an_unlabelled_image_are_still_a_class_of_their_own():
    z = torch.randn(3, 2, 4)
    assert torch.allclose(
        losses.sup_con(z, torch.full((3,), -1)), losses.sup_con(z, torch.arange(3))
    )


def test_square_targets_are_square():
    with pytest.raises(LossInputError, match="similarity"):
        losses.y_aware_nce(ROWS, ROWS, torch.randn(4, 5))


@pytest.mark.parametrize("argument", ["scores", "codes"])
def test_views_are_a_list_of_tensors(argument):
    for odd in (
        torch.randn(2, 4, 3),
        [torch.randn(4, 3).numpy()] * 2,
        [torch.randn(4, 3), torch.randn(1, 3)],
        [],
    ):
        with pytest.raises(LossInputError, match=argument):
            call("swapped_prediction", **{argument: odd})


WRONG_AFTER_FITTING = {
    "shape": {"second": torch.ones(4, 3)},
    "dtype": {"second": torch.ones(4, 2, dtype=torch.int64)},
    "no tensor": {"second": [[1.0, 2.0]] * 4},
    "text": {"temperature": "0.5"},
    "a number that equals what fitted": {"detach_keys": 0},
    "too many elements": {"temperature": torch.ones(2)},
}


@pytest.mark.parametrize("wrong", WRONG_AFTER_FITTING)
def test_arguments_that_fitted_once_do_not_excuse_others(wrong: str) -> None:
    fitting = {
        "first": torch.randn(4, 2, generator=torch.Generator().manual_seed(0)),
        "second": torch.randn(4, 2, generator=torch.Generator().manual_seed(1)),
        "temperature": 0.5,
        "detach_keys": False,
    }
    for _ in range(2):
        losses.nt_xent(**fitting)
    for _ in range(2):
        with pytest.raises(LossInputError):
            losses.nt_xent(**(fitting | WRONG_AFTER_FITTING[wrong]))
