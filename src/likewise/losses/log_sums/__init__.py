"""The costly part of every contrastive loss, log sum_a e^{q_i . k_a} with its gradient, without the matrix of scores.

`similarity_sums` has what losses call, and `gradients` its autograd functions. `sums` says what comes out. `choice`
takes the fastest of five forms, which all have the functions of `sums.Form`:

| form | where | scores |
| --- | --- | --- |
| `cached_tile` | CPU, up to 2^20 pairs | one tile, cached for the backward |
| `cpu_tiles` | CPU, larger | tiles that fit a core's cache, made again in the backward |
| `one_matrix` | other devices, up to 2^22 pairs | one matrix, kept |
| `kernel_tiles` | GPU, larger | tiles in registers, made again |
| `row_blocks` | GPU, where rows are too wide for kernels | blocks of rows by PyTorch, one at a time, made again |

`cpu_tiles` uses `running_sum` and `tile_memory`. `kernel_tiles` calls `gpu_tiles` (with `query_weights`, by
`kernels.tiles`), which leaves rows with each other to `gpu_triangle`, where two rows' scores are made once
(`kernels.triangle`); `launch` starts them, and `own_keys` finds the tiles that need a mask. `matrix_kernels` has what
`row_blocks` does with a matrix of scores (`kernels.scores`).
"""
