"""SwAV+SuNCEt: SwAV, and a class-balanced handful of labelled images that should find their own class."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from likewise.data.batch import Batch
from likewise.methods.card import Card
from likewise.methods.method import (
    Nets,
    Outputs,
    Progress,
    Step,
    support_labels,
    support_view,
)
from likewise.methods.support_term import SupportTerm
from likewise.methods.swav import SwAV

SWAV = SwAV.card.presets
OURS = "ours: SwAV's preset with the term on for half of the run; the authors published no settings of this form"

HALF = {"supervised_until": 0.5}

PRESETS = {
    "small": replace(SWAV["small"], source=OURS, settings={**SWAV["small"].settings, **HALF}),
    "middle": replace(SWAV["middle"], source=OURS, settings={**SWAV["middle"].settings, **HALF}),
    "imagenet": replace(
        SWAV["imagenet"],
        images="ImageNet, 224 px, a tenth of the labels, ResNet-50",
        source="ours: swav_400ep_pretrain.sh, https://github.com/facebookresearch/swav/tree/main/scripts, next to the "
        "support of SuNCEt's preset; the authors published no settings of this form",
        epochs=400,
        settings={
            **SWAV["imagenet"].settings,
            "classes_per_batch": 20,
            "images_per_class": 128,
            "frozen_until": 1 / 400,
            **HALF,
        },
    ),
}


@dataclass(frozen=True)
class SwAVSuNCEt(SupportTerm, SwAV):
    """Assran et al. 2020, https://arxiv.org/abs/2006.10803; SwAV is of Caron et al. 2020.

    The supervised term of SuNCEt with weight 1, on one view of each support row, in the space in which the prototypes
    lie. The authors published no code of this form, so where the term is attached is our reading of the paper.
    """

    card = Card(
        title="SwAV+SuNCEt",
        paper="Assran et al. 2020, https://arxiv.org/abs/2006.10803",
        needs="some labels",
        idea="SwAV on all images, plus a supervised neighbour loss on a class-balanced labelled batch.",
        choose_when="at least two images of each class are labelled, and small crops are to join in",
        recipe=SwAV.card.recipe,
        presets=PRESETS,
    )

    def make_views(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """SwAV's views, and one of each support row."""
        return super().make_views(batch, progress) | support_view(self.views, batch, progress)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Each view on the sphere, and the support's labels."""
        return {**super().embed(nets, batch, progress), **support_labels(batch)}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """SwAV's loss over the views, plus the supervised term over the support with weight 1."""
        views = {name: row for name, row in outputs.items() if name not in ("support", "labels")}
        return self.with_term(super().compute_loss(nets, views, progress), outputs)
