"""What is made of a matrix of scores on a GPU, in one launch each: log-sums of rows and of columns, and slopes.

`one_matrix` has the same from PyTorch's operations, for every device and format.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.gpu_kernels import blocks, kernels
from likewise.losses.fused.devices import run_on
from likewise.losses.log_sums.sums import Pairs, SumGradients, Sums, SumsAndGradients, never_reached

FILE = "losses.log_sums.kernels.scores"
ROW_TILE = {"ROWS": 4, "COLUMNS": 1024}
COLUMN_TILE = {"ROWS": 64, "COLUMNS": 64}
SLOPE_TILE = {"ROWS": 8, "COLUMNS": 512}
"""What a program reads at a time, by what fits its registers; NO GPU HAS MEASURED THEM."""


def serves(scores: Tensor) -> bool:
    """Whether the kernels take a matrix."""
    compiling = torch.compiler.is_compiling()
    return scores.dtype == torch.float32 and not compiling and run_on(scores.device)


def log_sums(scores: Tensor, pairs: Pairs) -> Sums:
    """Of the rows of scores [N, M] over their keys, natural logarithms, float32 [N]."""
    return _log_sums(scores, pairs, 0, ROW_TILE)


def column_log_sums(scores: Tensor, pairs: Pairs, first: int = 0) -> Sums:
    """Of the columns of scores [N, M] from the first that counts on, over all rows, natural logarithms, [M - first]."""
    return _log_sums(scores.T, Pairs(None, pairs.key_id, pairs.query_id), first, COLUMN_TILE)


def _log_sums(scores: Tensor, pairs: Pairs, first: int, tile: dict[str, int]) -> Sums:
    """Of rows, which may lie beside each other."""
    rows, columns = scores.shape
    has_ids = pairs.query_id is not None
    found = scores.new_empty([1 + has_ids, rows - first])
    # The last block of a square has no rows.
    programs = max(1, blocks(rows - first, tile["ROWS"]))
    stride, step = scores.stride()
    with torch.cuda.device_of(scores):
        kernels(FILE).log_sums_kernel[(programs,)](
            *(scores, *pairs, found[0], found[-1], first, rows, stride, columns, step),
            HAS_OWN=pairs.self_index is not None,
            HAS_IDS=has_ids,
            **tile,
        )
    return Sums(found[0], found[1] if has_ids else None)


def slopes(
    scores: Tensor,
    pairs: Pairs,
    of_queries: SumsAndGradients,
    of_keys: SumsAndGradients | None,
    dtype: torch.dtype,
) -> Tensor:
    """The derivative of a loss by each score [N, M].

    Args:
        scores: [N, M]; overwritten where the result is float32.
        pairs: the queries' own keys, and ids.
        of_queries: log-sums [N] of the queries, and the gradients of both.
        of_keys: those [M] of the keys, where they are queries of the same scores.
        dtype: of the result.
    """
    rows, columns = scores.shape
    found = scores if dtype == scores.dtype else torch.empty_like(scores, dtype=dtype)
    numbers = _numbers(*of_queries)
    grid = blocks(rows, SLOPE_TILE["ROWS"]), blocks(columns, SLOPE_TILE["COLUMNS"])
    with torch.cuda.device_of(scores):
        kernels(FILE).slopes_kernel[grid](
            *(scores, *pairs, numbers, numbers if of_keys is None else _numbers(*of_keys)),
            *(found, rows, columns),
            HAS_OWN=pairs.self_index is not None,
            HAS_IDS=len(numbers) == 4,
            AS_KEY=of_keys is not None,
            **SLOPE_TILE,
        )
    return found


def _numbers(sums: Sums, grads: SumGradients) -> Tensor:
    """Weights and log-sums [2 or 4, N]; that of an empty sum is never reached."""
    lines = [grads.of_all, never_reached(sums.all_logsumexp)]
    if sums.positives_logsumexp is not None and grads.of_positives is not None:
        lines += [grads.of_positives, never_reached(sums.positives_logsumexp)]
    return torch.stack(lines)
