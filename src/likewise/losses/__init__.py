"""Tensors in, a scalar out: pure functions that any PyTorch loop can call."""

from likewise.losses.assignment import sinkhorn, swapped_prediction
from likewise.losses.contrastive import info_nce, nt_xent, queue_nce, suncet, sup_con
from likewise.losses.cross_correlation import barlow_twins, cross_correlation
from likewise.losses.distillation import similarity_distillation, soft_cross_entropy, soft_nce
from likewise.losses.input_checks import LossInputError
from likewise.losses.regression import cosine_regression

__all__ = [
    "LossInputError",
    "barlow_twins",
    "cosine_regression",
    "cross_correlation",
    "info_nce",
    "nt_xent",
    "queue_nce",
    "similarity_distillation",
    "sinkhorn",
    "soft_cross_entropy",
    "soft_nce",
    "suncet",
    "sup_con",
    "swapped_prediction",
]
