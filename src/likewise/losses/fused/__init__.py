"""The losses in few launches on a GPU. Each is defined by its plain form, from PyTorch's operations, one folder up.

| losses | plain form | launches; the kernels have the same name |
| --- | --- | --- |
| `nt_xent`, `sup_con`, `suncet` | `contrastive` | `within_batch`, by `row_passes` |
| `info_nce`, `soft_nce`, `mil_nce` | `contrastive`, `distillation`, `mil_nce` | `against_keys`, with `sought_keys` |
| `queue_nce`, `similarity_distillation` | `contrastive`, `distillation` | `against_queue` |
| `clip_loss` | `paired` | `clip_pairs` |
| `set_similarity` | `set_similarity` | `location_sets` |
| `cacr`; with a teacher and a queue | `attraction_repulsion` | `cacr_terms`; `cacr_queue` |
| `soft_cross_entropy`, `knowledge_distillation` | `distillation` | `row_targets` |
| `cosine_regression` | `regression` | `row_targets` |
| labels of `soft_neighbours` | `soft_neighbours` | `support_classes` |
| unit rows, which most losses make first | `float32` | `unit_rows` |

A file of launches begins with the mathematics, and has a function by the name of each of its losses, which gives None
where its `serves` says that the kernels do not take the tensors. The plain form's decorator `kernels_first` asks that
function, and takes PyTorch's operations otherwise. All share `devices` (where kernels run, and what they read),
`gpu_sizes` (up to which sizes), `tiling` (how rows are cut), `products` (how matrices are multiplied) and
`kernels.blocks` (what a kernel does with a block of rows).

For larger batches there are the log-sums of `likewise.losses.log_sums`, which have kernels of their own.
"""
