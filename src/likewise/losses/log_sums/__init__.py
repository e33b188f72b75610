"""The costly part of every contrastive loss, log sum_a e^{q_i . k_a} with its gradient, without the matrix of scores.

`similarity_sums` has what losses call, and chooses one of five forms; `dense` is the definition of what comes out.

| form | where | scores |
| --- | --- | --- |
| `cached_tile` | CPU, up to 2^20 pairs | one tile, cached for the backward |
| `cpu_tiles` | CPU, larger | tiles that fit a core's cache, made again in the backward |
| `one_matrix` | other devices, up to 2^22 pairs | one matrix, kept |
| `gpu_tiles` | GPU, larger | tiles in registers, made again; of each pair once by `gpu_triangle` |
| `row_blocks` | GPU, where rows are too wide for `gpu_tiles` | blocks of rows by PyTorch, one at a time, made again |

The kernels of `gpu_tiles` are in `kernels.tiles`, those of `gpu_triangle` in `kernels.triangle`; `launch` starts them,
and `own_keys` finds the tiles that need a mask. `matrix_kernels` has what `row_blocks` does with a matrix of scores, by
`kernels.scores`.
"""
