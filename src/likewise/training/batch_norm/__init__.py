"""Batch normalisation: over the rows of all ranks; and on a GPU in one with the ReLU and the sum after it."""

from likewise.training.batch_norm.networks import fused_batch_norm

__all__ = ["fused_batch_norm"]
