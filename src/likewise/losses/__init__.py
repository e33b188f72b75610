"""Tensors in, a scalar out: pure functions that any PyTorch loop can call."""

from likewise.losses.attraction_repulsion import (
    attraction_weights,
    cacr,
    contrastive_attraction,
    contrastive_repulsion,
    repulsion_weights,
)
from likewise.losses.contrastive import info_nce, nt_xent, queue_nce, suncet, sup_con
from likewise.losses.distillation import similarity_distillation, soft_cross_entropy, soft_nce
from likewise.losses.input_checks import LossInputError
from likewise.losses.regression import cosine_regression

__all__ = [
    "LossInputError",
    "attraction_weights",
    "cacr",
    "contrastive_attraction",
    "contrastive_repulsion",
    "cosine_regression",
    "info_nce",
    "nt_xent",
    "queue_nce",
    "repulsion_weights",
    "similarity_distillation",
    "soft_cross_entropy",
    "soft_nce",
    "suncet",
    "sup_con",
]
