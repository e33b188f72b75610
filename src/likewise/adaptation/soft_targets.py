"""Cross-entropy against class probabilities that each image has been given, such as pseudo-labels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.losses import soft_cross_entropy
from likewise.methods import Nets, Progress, Step
from likewise.methods.cross_entropy import CrossEntropy
from likewise.methods.step import Outputs


class TargetTable(nn.Module):
    """Class probabilities float [N, K] of all training images, on the device of the networks."""

    rows: Tensor

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows.float(), persistent=False)

    def forward(self, indices: Tensor) -> Tensor:
        """int64 [B], positions of training images, which may be repeated -> [B, K]."""
        return self.rows[indices % len(self.rows)]


@dataclass(frozen=True)
class SoftTargets(CrossEntropy):
    """`CrossEntropy` whose targets come from ``nets.targets``, a `TargetTable`."""

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """One view, its logits, and the targets of its images."""
        return {**super().embed(nets, batch, progress), "targets": nets.targets(batch.indices)}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Mean over all rows."""
        return Step(soft_cross_entropy(outputs["logits"], outputs["targets"]))
