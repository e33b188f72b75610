"""What a loss refuses: shapes that do not fit, and batches from which nothing can be learned."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar, get_args, get_type_hints

import torch
from torch import Tensor

from likewise.counts import amount
from likewise.errors import LikewiseError, WrongArgument
from likewise.field_types import checked_value
from likewise.losses.waiting import may_wait, transformed

P = ParamSpec("P")
ResultT = TypeVar("ResultT")

Kind = Literal["out", "in", "nca"]
"""Where the mean over a query's positives is taken; see `likewise.losses.info_nce`."""

UNKNOWN = -1
"""The id that equals nothing, not even another unknown: such rows are negatives to all, positives to none."""


KINDS = {"float": "floating-point numbers", "int": "whole numbers", "real": "numbers"}
"""What a tensor holds, by the word at the end of its dimensions in `shapes`."""


LARGEST = 2**31 - 1
"""Whole numbers up to this one can be multiplied with any tensor."""


MOST_FORMS = 1000
"""Sets of arguments of a loss that are remembered as fitting, and not checked again."""

PLAIN = (float, int, bool, str, type(None))
"""Types of arguments that are no tensors and can be remembered."""


class LossInputError(LikewiseError, ValueError):
    """A batch from which a loss cannot learn, or whose shapes do not fit."""


class TensorForm(NamedTuple):
    """What a tensor must be."""

    kind: str
    """a key of `KINDS`"""
    alternatives: tuple[tuple[str, ...], ...]
    """dimensions by their letters"""

    @classmethod
    def parse(cls, text: str) -> TensorForm:
        """The form that is written as in `shapes`."""
        words = [each.split() for each in text.split("|")]
        last = words[0][-1]
        kind = last if last in KINDS else "float"
        alternatives = []
        for each in words:
            alternatives.append(tuple(word for word in each if word not in KINDS))
        return cls(kind, tuple(alternatives))

    def __str__(self) -> str:
        dimensions = " or ".join(f"[{', '.join(letters)}]" for letters in self.alternatives)
        return f"{dimensions} of {KINDS[self.kind]}"


def shapes(**wanted: str) -> Callable[[Callable[P, ResultT]], Callable[P, ResultT]]:
    """Check the tensors of a loss before it runs, and name the argument that does not fit; no value is looked at.

    Args:
        wanted: for each tensor its dimensions, such as ``"B D"``, alternatives parted by ``|``. A letter stands for the
            same size wherever it occurs, and no size is 0. Tensors hold floating-point numbers, or with ``int`` at the
            end whole numbers or truth values, or with ``real`` either. None is taken where the annotation has it, and
            one number where it has ``float``.

    Other arguments than tensors are checked by their annotations.
    """
    forms = {name: TensorForm.parse(text) for name, text in wanted.items()}

    def decorate(loss: Callable[P, ResultT]) -> Callable[P, ResultT]:
        checks = _Checks.of(loss, forms)
        fitting: set[tuple[Any, ...]] = set()

        @functools.wraps(loss)
        def checked(*args: P.args, **kwargs: P.kwargs) -> ResultT:
            looked_at = _looked_at(args, kwargs)
            if looked_at is None or looked_at not in fitting:
                checks.check(args, kwargs)
                if looked_at is not None and len(fitting) < MOST_FORMS:
                    fitting.add(looked_at)
            return loss(*args, **kwargs)

        return checked

    return decorate


class _Checks(NamedTuple):
    """What `shapes` knows of a loss."""

    loss: str
    """its name"""
    names: tuple[str, ...]
    """of all arguments, in their order"""
    hints: Mapping[str, Any]
    """annotations"""
    forms: Mapping[str, TensorForm]
    """of the tensors"""

    @classmethod
    def of(cls, loss: Callable[..., Any], forms: Mapping[str, TensorForm]) -> _Checks:
        """From a signature."""
        names = tuple(inspect.signature(loss).parameters)
        name = loss.__qualname__.removesuffix(".forward")
        return cls(name, names, get_type_hints(loss), forms)

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise if an argument does not fit."""
        given = dict(zip(self.names, args, strict=False)) | dict(kwargs)
        sizes: dict[str, int] = {}
        for name, form in self.forms.items():
            if name in given:
                self._check_form(name, given[name], form, sizes)
        for name, value in given.items():
            hint = self.hints.get(name, Tensor)
            if name not in self.forms and hint is not Tensor:
                check_other(self.loss, name, value, hint)

    def _check_form(self, name: str, value: Any, form: TensorForm, sizes: dict[str, int]) -> None:
        alternatives = get_args(self.hints[name])
        if value is None and type(None) in alternatives:
            return
        if float in alternatives and _is_number(value):
            check_other(self.loss, name, value, self.hints[name])
        else:
            check_tensor(self.loss, name, value, form, sizes)


def _looked_at(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...] | None:
    """All that the checks of `shapes` look at, so that a training step does not repeat them; None: look anew."""
    if torch.compiler.is_compiling():
        return None
    parts: list[Any] = [*kwargs]
    for value in (*args, *kwargs.values()):
        kind = type(value)
        if isinstance(value, Tensor):
            parts += (value.shape, value.dtype)
        elif kind in PLAIN:
            parts += (kind, value)  # the kind too, since 1 equals True
        else:
            return None
    return tuple(parts)


def _is_number(value: Any) -> bool:
    return not isinstance(value, Tensor) or value.numel() == 1


def check_other(loss: str, name: str, value: Any, hint: Any) -> None:
    """Refuse an argument that is none of the tensors of `shapes`, by its annotation; a tensor is not looked into."""
    if torch.compiler.is_compiling():
        return
    try:
        checked_value(name, value, hint)
    except WrongArgument as error:
        raise LossInputError(f"{loss}: {error}") from None
    if isinstance(value, int) and abs(value) > LARGEST:
        raise LossInputError(f"{loss}: {name}={value:.3g} is too large; give at most {LARGEST}.")
    if hint == float | Tensor and isinstance(value, Tensor) and value.numel() != 1:
        raise LossInputError(f"{loss}: {name} is one number; got a tensor {tuple(value.shape)}.")


def check_tensor(loss: str, name: str, value: Any, form: TensorForm, sizes: dict[str, int]) -> None:
    """Refuse one argument, or note its sizes by their letters; see `shapes`."""
    if not isinstance(value, Tensor):
        raise LossInputError(
            f"{loss}: {name} must be a tensor {form}; {type(value).__name__} was given. Convert it with "
            f"torch.as_tensor."
        )
    if not _is_kind(value, form.kind):
        raise LossInputError(
            f"{loss}: {name} must hold {KINDS[form.kind]}; got a tensor of {value.dtype}."
        )
    found = dict(sizes)
    letters = next((each for each in form.alternatives if len(each) == value.dim()), ())
    fits = 0 < len(letters) == value.dim()
    for letter, size in zip(letters, value.shape, strict=False):
        fits = fits and found.setdefault(letter, size) == size
    if not fits:
        known = ", ".join(f"{letter} = {sizes[letter]}" for letter in letters if letter in sizes)
        where = f", where {known}" if known else ""
        raise LossInputError(
            f"{loss}: {name} must be a tensor {form}{where}; got {tuple(value.shape)}."
        )
    if 0 in value.shape:
        raise LossInputError(
            f"{loss}: {name} {tuple(value.shape)} is empty, and nothing can be learned from nothing."
        )
    sizes |= found


def _is_kind(value: Tensor, kind: str) -> bool:
    """Whether a tensor holds numbers of a kind, one of `KINDS`."""
    if kind == "real":
        return not value.is_complex()
    return value.is_floating_point() if kind == "float" else not _has_fractions(value)


def _has_fractions(value: Tensor) -> bool:
    return value.is_floating_point() or value.is_complex()


def check_ids(queries: Tensor, keys: Tensor, query_id: Tensor, key_id: Tensor) -> None:
    """Each row has an id."""
    check_labels(query_id, len(queries), queries, "query_id")
    check_labels(key_id, len(keys), keys, "key_id")


def check_labels(labels: Tensor, rows: int, z: Tensor, name: str = "labels") -> None:
    """One whole number a row."""
    is_tensor = isinstance(labels, Tensor)
    if is_tensor and not _has_fractions(labels) and labels.shape == (rows,):
        return
    given = f"{tuple(labels.shape)} of {labels.dtype}" if is_tensor else type(labels).__name__
    raise LossInputError(
        f"{name} must be a tensor of {rows} whole numbers, one for each row of {tuple(z.shape)}; got {given}."
        f" Turn class names into numbers first; -1 means unlabelled."
    )


def check_classes(labels: Tensor) -> None:
    """No label below -1, which would be taken for another image's; on a GPU the device raises, and nothing waits."""
    if not labels.dtype.is_signed:
        return
    message = (
        "labels must be -1 (unlabelled) or a class from 0 on{}. Write -1 where a label is unknown."
    )
    if labels.is_cuda and not transformed():
        are_known = (labels >= UNKNOWN).all()
        torch.ops.aten._assert_async(are_known, message.format(""))
    elif may_wait(labels) and bool((labels < UNKNOWN).any()):
        raise LossInputError(message.format(f"; got {int(labels.min())}"))


def check_kind(kind: str) -> None:
    """One of the forms that there are."""
    allowed = get_args(Kind)
    if kind not in allowed:
        raise LossInputError(f"kind={kind!r} was given; allowed: {', '.join(map(repr, allowed))}.")


def check_temperature(temperature: float | Tensor) -> None:
    """Finite and above 0, a learned one too; a tensor on a GPU is not looked at, for that would wait for the device."""
    if isinstance(temperature, Tensor):
        fits = True
        if may_wait(temperature):
            fits = bool(((temperature > 0) & temperature.isfinite()).all())
    else:
        fits = isinstance(temperature, int | float) and 0 < temperature < math.inf
    if not fits:
        raise LossInputError(
            f"temperature must be a finite number above 0, got {temperature!r}; the papers use 0.05 to 0.5."
        )


def check_can_teach(positives: Tensor, compared: Tensor, kind: Kind) -> None:
    """Refuse a batch whose loss has no gradient whatever the network says; on a GPU `nan_if_nothing_to_learn` does."""
    if not may_wait(positives):
        return
    if not bool((positives > 0).any()):
        raise LossInputError(
            f"None of the {amount(len(positives), 'query', 'queries')} has a positive: no two rows share an id. Give "
            f"two views of each image, or at least two examples of a class (a class-balanced batch)."
        )
    if bool(_teaches_nothing(positives, compared, kind).all()):
        raise LossInputError(
            f"There is nothing to push apart: every key that the {amount(len(positives), 'query', 'queries')} are "
            f"compared with is a positive, so the gradient is zero whatever the network says. Give at least two "
            f"images, and two classes where labels are the ids."
        )


def nan_if_nothing_to_learn(
    loss: Tensor, positives: Tensor, compared: Tensor, kind: Kind
) -> Tensor:
    """On a GPU, NaN instead of the loss of a batch that `check_can_teach` would refuse, without waiting for it."""
    if may_wait(positives):
        return loss
    return loss.masked_fill(_teaches_nothing(positives, compared, kind).all(), float("nan"))


def _teaches_nothing(positives: Tensor, compared: Tensor, kind: Kind) -> Tensor:
    """Bool [N]: queries without a positive, or with nothing else."""
    single = compared < 2 if kind == "out" else positives == compared
    return single | (positives == 0)
