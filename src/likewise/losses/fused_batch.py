"""Losses within one batch of rows on a GPU, in three launches forward and two backward: SimCLR's, SupCon's, SuNCEt's.

For rows u_i, made z_i of length 1 / sqrt(temperature), with s_ij = z_i . z_j, A(i) all rows but i and P(i)
its positives::

    pairs  log sum_{A(i)} e^s - s_{i, partner of i}            rows i and i + N/2 are each other's partner
    out    log sum_{A(i)} e^s - 1/|P(i)| sum_{P(i)} s
    in     log sum_{A(i)} e^s - log( 1/|P(i)| sum_{P(i)} e^s )
    nca    log sum_{A(i)} e^s - log sum_{P(i)} e^s

and the mean over rows that have a positive. The gradient by s_ij of row i's loss is its softmax less that over the
positives, so the gradient of z_i takes one more pass over the scores, made again; that of u_i follows. Where there are
fewer blocks of rows than a GPU's processors, several programs share the columns of a block. Nothing of N x N is stored.
`contrastive` has the same losses from PyTorch's operations, for every device.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, ParamSpec, get_args

import torch
from torch import Tensor

from likewise.losses import tiles_triton
from likewise.losses.similarity_sums import refuse_second_derivatives
from likewise.losses.triton_launch import Tiles, blocks, filled, float32_products, interpreted, padded

P = ParamSpec("P")

Form = Literal["pairs", "out", "in", "nca"]
FORMS: tuple[Form, ...] = get_args(Form)

MOST_ROWS = 8192
"""Up to which this form is used. An H100 takes 1.49 ms for 8,192 rows; from where `tiles_triton` takes less was not
measured. Several processes compute so few rows whole, each of them: to divide them takes `tiles_triton`, whose launches
alone took 1.7 ms."""

MOST_COLUMNS = 128
"""D; more does not fit the registers."""

SAFE_SCORE = 50.0
"""In powers of two: scores from -50 to 50, shifted by the greatest, lose nothing in float32."""

LOG2E = tiles_triton.LOG2E
BLOCK = 1024
"""Rows that the mean takes in at a time."""


def serves(rows: Tensor, count: int, temperature: float | Tensor) -> bool:
    """Whether these kernels can make the loss of so many rows like these [..., D]; `tiles_triton` says on what GPU."""
    if not isinstance(rows, Tensor) or isinstance(temperature, Tensor) or rows.dtype == torch.float64:
        return False
    usual = temperature > 0 and 3 <= count <= MOST_ROWS and 1 <= rows.shape[-1] <= MOST_COLUMNS
    return usual and tiles_triton.supports(rows.flatten(0, -2), rows.flatten(0, -2))


def kernels_first(by_kernels: Callable[P, Tensor | None]) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """Let kernels make a loss that they can, from inputs of any width as they are; ``by_kernels`` gives None else."""

    def decorated(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
        @functools.wraps(loss)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> Tensor:
            first = args[0] if args else next(iter(kwargs.values()), None)
            on_gpu = isinstance(first, Tensor) and (first.is_cuda or interpreted())
            on_gpu = on_gpu and not torch.compiler.is_compiling()
            found = by_kernels(*args, **kwargs) if on_gpu else None
            return loss(*args, **kwargs) if found is None else found

        return wrapped

    return decorated


def loss_within_batch(
    rows: Tensor, labels: Tensor | None, temperature: float, form: Form, by_all: bool = False
) -> Tensor:
    """The mean loss, float32; NaN where no row could learn.

    Args:
        rows: [N, D], of any length; or [B, V, D], V views of B images.
        labels: int64 [N] or [B], equal for positives; -1 equals nothing, but views of one image are positives then too.
            None for "pairs".
        temperature: divides the cosines.
        form: as above.
        by_all: divide by N instead of the rows that have a positive.
    """
    views = rows.shape[1] if rows.dim() == 3 else 1
    return _WithinBatch.apply(rows.reshape(-1, rows.shape[-1]), labels, views, temperature, form, by_all)  # type: ignore[no-any-return]


class _WithinBatch(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, labels: Tensor | None, views: int, temperature: float, form: Form, by_all: bool
    ) -> Tensor:
        rows, count, form_number = rows.contiguous(), len(rows), FORMS.index(form)
        unit = rows.new_empty(rows.shape, dtype=torch.float32)
        numbers, mean = unit.new_empty(4, count), unit.new_empty(2)
        labels = mean if labels is None else labels.contiguous()  # "pairs" reads none
        bound = LOG2E / temperature
        shape = {"D": rows.shape[1], "WIDTH": padded(rows.shape[1])}
        kind = {**shape, "FORM": form_number, "VIEWS": views, "PRECISION": float32_products()}
        kernels, tiles = _kernels(), filled(_forward_tiles(count), unit, unit, PROGRAMS)
        parts = unit.new_empty(4, tiles.splits or 1, count)
        with torch.cuda.device_of(rows):
            kernels.unit_kernel[(blocks(count, 16),)](
                *(rows, unit, numbers[0], count, temperature**-0.5), **shape, ROWS=16
            )
            kernels.rows_kernel[(blocks(count, tiles.rows), tiles.splits)](
                *(unit, labels, parts, count, bound),
                **(kind | {"ROWS": tiles.rows, "COLUMNS": tiles.columns, "BOUNDED": bound < SAFE_SCORE}),
                num_stages=tiles.stages,
            )
            kernels.mean_kernel[(1,)](
                *(parts, *numbers[1:], mean, count, tiles.splits), FORM=form_number, BLOCK=BLOCK, BY_ALL=by_all
            )
        ctx.save_for_backward(rows, unit, labels, numbers, mean)
        ctx.kind, ctx.squared_length = kind, 1 / temperature
        return mean[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        rows, unit, labels, numbers, mean = ctx.saved_tensors
        count, kernels = len(rows), _kernels()
        tiles = filled(_backward_tiles(count), unit, unit, PROGRAMS)
        gradient, parts = torch.empty_like(rows), unit.new_empty(tiles.splits or 1, *unit.shape)
        shape = {name: ctx.kind[name] for name in ("D", "WIDTH", "FORM")}
        with torch.cuda.device_of(rows):
            kernels.slopes_kernel[(blocks(count, tiles.rows), tiles.splits)](
                *(unit, labels, *numbers[1:], parts, count),
                **(ctx.kind | {"ROWS": tiles.rows, "COLUMNS": tiles.columns}),
                num_stages=tiles.stages,
            )
            kernels.gradient_kernel[(blocks(count, 4),)](
                *(parts, unit, numbers[0], mean, gradients[0], gradient, count, tiles.splits, ctx.squared_length),
                **shape,
                ROWS=4,
            )
        return gradient, None, None, None, None, None


PROGRAMS = 2
"""For each processor, so that one computes while the other waits; NO GPU HAS MEASURED IT YET."""


def _forward_tiles(count: int) -> Tiles:
    """Small blocks where there are few rows."""
    return Tiles(16, 64) if count <= 2048 else Tiles(64, 64)


def _backward_tiles(count: int) -> Tiles:
    """A program holds the gradient of its rows too."""
    return Tiles(16, 32) if count <= 2048 else Tiles(32, 32)


def _kernels() -> ModuleType:
    """Imported late, since it needs Triton."""
    from likewise.losses import triton_batch_kernels

    return triton_batch_kernels
