"""The smoothed labels of a support on a GPU, in two launches and one that checks them: PAWS's.

Classes are numbered in the order of their labels, of which any may be missing. So a row's number is that of the
distinct labels below its own; a label is counted at the first row that has it::

    first_j       = 1 where no earlier row has label_j
    number_i      = sum_j first_j [label_j < label_i],       count = sum_j first_j
    membership_ic = (1 - smoothing) [number_i = c] + smoothing [c < count] / count

`soft_neighbours` has the same from PyTorch's operations, for every device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.gpu_kernels import blocks, kernels
from likewise.losses.fused.devices import run_on

TILE = {"ROWS": 32, "COLUMNS": 128}
"""How both passes over pairs of rows are cut; NO GPU HAS MEASURED IT YET."""


def membership(
    labels: Tensor, smoothing: float, classes: int | None, dtype: torch.dtype
) -> Tensor | None:
    """[M, C] of labels [M]; C = M for None, since nobody waits for their count. The device raises for wrong labels."""
    if dtype != torch.float32 or not run_on(labels.device):
        return None
    rows = len(labels)
    classes = rows if classes is None else classes
    labels = labels.contiguous()
    firsts = torch.empty([rows], dtype=torch.int32, device=labels.device)
    found = torch.empty([rows, classes], dtype=dtype, device=labels.device)
    fits = torch.empty([], dtype=torch.bool, device=labels.device)
    programs = (blocks(rows, TILE["ROWS"]),)
    ours = kernels("losses.fused.kernels.support_classes")
    with torch.cuda.device_of(labels):
        ours.firsts_kernel[programs](labels, firsts, rows, **TILE)
        ours.membership_kernel[programs](
            labels, firsts, smoothing, found, fits, rows, classes, **TILE
        )
    refuse_wrong_labels(fits, classes)
    return found


def refuse_wrong_labels(fits: Tensor, classes: int) -> None:
    """Let the device raise where labels of a support do not fit, [] of bool; nothing waits."""
    torch.ops.aten._assert_async(
        fits,
        f"soft_neighbours: rows of the support have no label, or are of more classes than classes={classes}.",
    )
