"""The GPU kernels behind `likewise.views.fused.views`; imported late, since they need Triton.

Nothing is random here: a row of `packing` says everything about a view, and `sampling_kernel` and
`operation_sampling_kernel` make it from random numbers. What each function computes is defined, in
PyTorch, by the function of ``likewise.views.image`` that it names; the two differ by rounding.

A program makes a tile [ROWS, COLUMNS] of one view. Of an RGB image it holds the three channels, as colours need them
all; of any other image it makes one channel. A small view is a single tile (WHOLE): then contrast's mean and the
blur stay inside the program. A larger one takes `taps_kernel`, `sum_kernel` for contrast's mean, `view_kernel`,
and for the rows that are blurred `across_kernel` and `down_kernel`. Each operation of RandAugment then takes
`operation_kernel`, and on a larger view `statistics_kernel` before it.
"""

from likewise.views.fused.kernels.blur import across_kernel, down_kernel
from likewise.views.fused.kernels.operations import operation_kernel
from likewise.views.fused.kernels.sampling import (
    operation_sampling_kernel,
    sampling_kernel,
)
from likewise.views.fused.kernels.taps import taps_kernel
from likewise.views.fused.kernels.tone import statistics_kernel
from likewise.views.fused.kernels.views import sum_kernel, view_kernel

__all__ = [
    "across_kernel",
    "down_kernel",
    "operation_kernel",
    "operation_sampling_kernel",
    "sampling_kernel",
    "statistics_kernel",
    "sum_kernel",
    "taps_kernel",
    "view_kernel",
]
