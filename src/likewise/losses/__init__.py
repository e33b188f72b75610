"""Tensors in, a scalar out: pure functions, and the same losses as modules for loops that hold a criterion.

A file has the losses of one idea, each with its paper's formula, in PyTorch's operations: `contrastive` those whose
positives have equal ids, `distillation` and `y_aware` those with soft targets, `paired` and `mil_nce` images with
texts, `attraction_repulsion` CACR, `assignment` SwAV, `soft_neighbours` PAWS, `cross_correlation` Barlow Twins,
`regression` BYOL and SimSiam, `set_similarity` SetSim. `dense` defines the contrastive ones by one matrix of
similarities: to read, and to test the others against.

What makes them fast is elsewhere, and the plain forms can be read without it: `log_sums` sums exponentials of
similarities without the matrix, and `fused` makes whole losses in few launches on a GPU. Its `kernels_first` above a
loss says that kernels are asked first.
"""

from likewise.losses.assignment import sinkhorn, swapped_prediction
from likewise.losses.attraction_repulsion import (
    attraction_weights,
    cacr,
    contrastive_attraction,
    contrastive_repulsion,
    repulsion_weights,
)
from likewise.losses.contrastive import info_nce, nt_xent, queue_nce, suncet, sup_con
from likewise.losses.cross_correlation import barlow_twins, cross_correlation
from likewise.losses.distillation import (
    knowledge_distillation,
    similarity_distillation,
    soft_cross_entropy,
    soft_nce,
)
from likewise.losses.input_checks import LossInputError
from likewise.losses.kernel_matching import (
    kernel_alignment,
    kernel_cross_entropy,
    kernel_regression,
)
from likewise.losses.mil_nce import mil_nce
from likewise.losses.modules import (
    BarlowTwinsLoss,
    CACRLoss,
    CLIPLoss,
    InfoNCELoss,
    ISDLoss,
    NegativeCosineSimilarity,
    NTXentLoss,
    SuNCEtLoss,
    SupConLoss,
    SwAVLoss,
)
from likewise.losses.paired import (
    clip_loss,
    optimal_transport_targets,
    pair_divergence,
    pair_targets,
)
from likewise.losses.pseudo_labels import (
    distribution_alignment,
    memory_smoothing,
    pseudo_label_graph,
    threshold_pseudo_labels,
)
from likewise.losses.regression import cosine_regression, masked_l1, r2_score
from likewise.losses.set_similarity import set_similarity
from likewise.losses.soft_neighbours import (
    mean_entropy,
    probability_cross_entropy,
    sharpen,
    soft_neighbours,
)
from likewise.losses.y_aware import y_aware_nce

__all__ = [
    "BarlowTwinsLoss",
    "CACRLoss",
    "CLIPLoss",
    "ISDLoss",
    "InfoNCELoss",
    "LossInputError",
    "NTXentLoss",
    "NegativeCosineSimilarity",
    "SuNCEtLoss",
    "SupConLoss",
    "SwAVLoss",
    "attraction_weights",
    "barlow_twins",
    "cacr",
    "clip_loss",
    "contrastive_attraction",
    "contrastive_repulsion",
    "cosine_regression",
    "cross_correlation",
    "distribution_alignment",
    "info_nce",
    "kernel_alignment",
    "kernel_cross_entropy",
    "kernel_regression",
    "knowledge_distillation",
    "masked_l1",
    "mean_entropy",
    "memory_smoothing",
    "mil_nce",
    "nt_xent",
    "optimal_transport_targets",
    "pair_divergence",
    "pair_targets",
    "probability_cross_entropy",
    "pseudo_label_graph",
    "queue_nce",
    "r2_score",
    "repulsion_weights",
    "set_similarity",
    "sharpen",
    "similarity_distillation",
    "sinkhorn",
    "soft_cross_entropy",
    "soft_nce",
    "soft_neighbours",
    "suncet",
    "sup_con",
    "swapped_prediction",
    "threshold_pseudo_labels",
    "y_aware_nce",
]
