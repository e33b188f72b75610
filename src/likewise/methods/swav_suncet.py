"""SwAV+SuNCEt: SwAV, and a class-balanced handful of labelled images that should find their own class."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from likewise.data.batch import Batch
from likewise.data.loader import Support
from likewise.losses import suncet
from likewise.methods.method import Nets, Progress, Rows, Step
from likewise.methods.swav import SwAV


@dataclass(frozen=True)
class SwAVSuNCEt(SwAV):
    """Assran et al. 2020, https://arxiv.org/abs/2006.10803; SwAV is of Caron et al. 2020.

    The supervised term of SuNCEt with weight 1, on one view of each support row, in the space in which the prototypes
    lie. The authors published no code of this form, so where the term is attached is our reading of the paper.
    """

    title = "SwAV+SuNCEt"
    paper = "Assran et al. 2020, https://arxiv.org/abs/2006.10803"
    needs = "some labels"
    idea = "SwAV on all images plus a neighbour loss on the few labelled ones; for small crops or many images a batch."

    support_temperature: float = 0.1
    """of the supervised term (paper: 0.1)"""
    classes_per_batch: int = 10
    """classes in a support batch, or all if there are fewer (paper: 20 a GPU)"""
    images_per_class: int = 8
    """labelled images of each class in a support batch; at least 2 (paper: 2 on 64 GPUs that share classes)"""
    supervised_until: float = 1.0
    """share of the run after which the supervised term is switched off"""

    @property
    def support(self) -> Support:
        """Classes x images, labelled."""
        return Support(self.classes_per_batch, self.images_per_class)

    def support_steps(self, steps: int) -> int:
        """The supervised term is on for the first part of the run."""
        return round(self.supervised_until * steps)

    def shown(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """SwAV's views, and one of each support row."""
        views, support = super().shown(batch, progress), batch.support
        if support is not None:
            views["support"] = self.views(support.pixels, progress.draws("support", support)).pixels
        return views

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Rows:
        """Each view on the sphere, and the support's labels."""
        rows = super().embed(nets, batch, progress)
        return rows if batch.support is None else {**rows, "labels": batch.support.labels}

    def contrast(self, nets: Nets, rows: Rows, progress: Progress) -> Step:
        """SwAV's loss over the views, plus the supervised term over the support with weight 1."""
        views = {name: row for name, row in rows.items() if name not in ("support", "labels")}
        step = super().contrast(nets, views, progress)
        metrics = {**step.metrics, "unsupervised": step.loss.detach()}
        if "support" not in rows:
            return step._replace(metrics=metrics)
        supervised = suncet(rows["support"], rows["labels"], self.support_temperature)
        return step._replace(loss=step.loss + supervised, metrics={**metrics, "supervised": supervised.detach()})
