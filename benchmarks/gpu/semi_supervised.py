"""CoMatch and FixMatch with a few labels a class (Li, Xiong & Hoi 2021, Table 1, https://arxiv.org/abs/2011.11183)."""

from __future__ import annotations

import torch
from torch import nn

from gpu.bare_run import Run
from gpu.cifar import Split
from gpu.scores import ROWS, share
from likewise.methods import Nets
from likewise.methods.comatch import CoMatch
from likewise.methods.fixmatch import FixMatch

LABELS = (4, 25)
"""of each class"""


def runs(batch: int, seed: int) -> dict[str, Run]:
    """Both methods, with the labelled images beside a batch that the authors have (64 beside 448)."""
    each = max(round(batch / 70), 2)
    fixmatch, comatch = FixMatch(images_per_class=each), CoMatch(images_per_class=each)
    return {
        "FixMatch": Run(fixmatch, fixmatch.card.recipe, batch, seed=seed),
        "CoMatch": Run(comatch, comatch.card.recipe, batch, forwarded=3, seed=seed),
    }


@torch.no_grad()
def accuracy(run: Run, nets: Nets, test: Split) -> float:
    """Of the method's own classifier on test images."""
    networks = run.method.classifier(nets)
    assert networks is not None
    whole = nn.Sequential(*networks).eval()
    found = [whole(part.float() / 255).argmax(dim=1) for part in test.images.split(ROWS)]
    nets.train()
    return share(torch.cat(found), test.labels)
