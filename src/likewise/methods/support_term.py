"""A supervised term for a method without labels, on a class-balanced batch of labelled images."""

from __future__ import annotations

from dataclasses import dataclass

from likewise.data.loader import Support
from likewise.losses import suncet
from likewise.methods.method import Method, Outputs, Step


@dataclass(frozen=True)
class SupportTerm(Method):
    """SuNCEt's term and its support: Assran et al. 2020, Sec. 3, https://arxiv.org/abs/2006.10803.

    No support row is loaded or embedded once the term is off.
    """

    support_temperature: float = 0.1
    """of the supervised term (paper: 0.1)"""
    classes_per_batch: int = 10
    """classes in a support batch, or all if there are fewer (paper: 20 a GPU)"""
    images_per_class: int | None = None
    """labelled images of each class in a support batch, at least 2 (paper: 2 on 64 GPUs that share classes); None: by
    `support_share`, or as many as the rarest class has labels"""
    support_share: float = 0.45
    """support rows for each row of both views, where `images_per_class` is None (paper: 2,560 for 5,632)"""
    supervised_until: float = 1.0
    """share of the run after which the supervised term is switched off (paper: 250 of 500 epochs)"""

    @property
    def support(self) -> Support:
        """Classes x images, labelled."""
        return Support(
            self.classes_per_batch,
            self.images_per_class,
            until=self.supervised_until,
            share=self.support_share,
        )

    def with_term(self, step: Step, outputs: Outputs) -> Step:
        """The step of the method without labels, plus the term with weight 1 where ``outputs`` hold a support."""
        metrics = {**step.metrics, "unsupervised": step.loss}
        if "support" not in outputs:
            return step._replace(metrics=metrics)
        supervised = suncet(outputs["support"], outputs["labels"], self.support_temperature)
        metrics["supervised"] = supervised
        return step._replace(loss=step.loss + supervised, metrics=metrics)
