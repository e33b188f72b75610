"""LoCo: every two neighbouring stages are SimCLR of their own; no gradient runs through the whole network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.encoders.overlapping_stages import overlap
from likewise.errors import LikewiseError
from likewise.heads import mlp
from likewise.losses import nt_xent
from likewise.losses.differentiated import differentiated
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std, two_views
from likewise.methods.recipe import Recipe
from likewise.methods.simclr import SimCLR
from likewise.methods.step import sum_of
from likewise.views.policies import simclr
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": replace(
        SimCLR.card.presets["small"],
        images="CIFAR-10, 32 px",
        source="ours: SimCLR's run on CIFAR-10, https://github.com/google-research/simclr; the paper has none",
    ),
    "middle": replace(SimCLR.card.presets["middle"], source="ours: as for SimCLR"),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "Sec. 4 of the paper, https://arxiv.org/abs/2008.01342, which takes over SimCLR's recipe; no code is public",
        Recipe("lars", learning_rate=0.3, weight_decay=1e-6),
        batch_size=4096,
        epochs=800,
        settings={"temperature": 0.1, "hidden": 2048},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class LoCo(Method):
    """Xiong, Ren and Urtasun 2020, Sec. 3, https://arxiv.org/abs/2008.01342.

    Unit u is the stages u and u + 1 with a head; the losses of units are summed. A stage but the first and last lies in
    two units and learns from both, and from no other. Each unit is differentiated, and what it keeps is freed, before
    the next is run. The paper runs a shared stage once for each of its units; here it is run once, and what differs is
    where its output's gradient goes, which gives the same gradients.
    """

    card = Card(
        title="LoCo",
        paper="Xiong, Ren and Urtasun 2020, https://arxiv.org/abs/2008.01342",
        needs="no labels",
        idea="SimCLR without end-to-end gradients: each stage learns from its own loss and its neighbour's.",
        choose_when="memory is short, with a network of many like stages",
        recipe=Recipe("lars", learning_rate=0.4, weight_decay=1e-4),
        presets=PRESETS,
    )

    overlap: bool = True
    """whether a unit is two neighbouring stages; without, it is one, as in Greedy InfoMax (Löwe et al. 2019,
    https://arxiv.org/abs/1905.11786), which the paper holds itself against"""
    temperature: float = 0.2
    """divides the cosines (paper: 0.1, for 800 epochs of ImageNet)"""
    hidden: int = 512
    """width of the heads' hidden layer"""
    dim: int = 128
    """width of the space that each loss compares in (paper: 128)"""
    views: ViewPolicy = field(default_factory=simclr)
    """crop, flip, colour jitter, grey, blur"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder and a two-layer head for each unit, on top of its last stage."""
        widths = encoder.stage_widths()
        if len(widths) < 2:
            raise LikewiseError(
                "LoCo needs an encoder of at least two stages. Give --encoder conv4 or --encoder timm/resnet18."
            )
        heads = nn.ModuleList(mlp(width, self.hidden, self.dim) for width in widths[self.overlap :])
        return Nets(encoder=encoder, heads=heads)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """The projections of all units, held together."""
        return dict(self._units(nets, batch, progress))

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """The sum of NT-Xent over units [B, 2, dim]."""
        losses: dict[str, Tensor] = {}
        for unit, z in outputs.items():
            losses[unit] = nt_xent(z[:, 0], z[:, 1], self.temperature)
        *_, last = outputs.values()
        return Step(sum_of(losses), {"feature_std": feature_std(last[:, 0]), **losses})

    def step(self, nets: Nets, batch: Batch, progress: Progress) -> Step:
        """`embed` and `compute_loss` for one unit after the other, each forgotten before the next."""
        learned = [p for p in nets.parameters() if p.requires_grad]
        gradients: dict[Tensor, Tensor] = {}
        losses, metrics = [], {}
        for unit, z in self._units(nets, batch, progress):
            done = self.gather_and_compute_loss(nets, {unit: z}, progress)
            of_unit = torch.autograd.grad(done.loss, learned, allow_unused=True)
            for p, gradient in zip(learned, of_unit, strict=True):
                if gradient is not None:
                    gradients[p] = gradients[p] + gradient if p in gradients else gradient
            losses.append(done.loss.detach())
            metrics |= done.metrics
        return Step(differentiated(torch.stack(losses).sum(), *gradients.items()), metrics)

    def _units(self, nets: Nets, batch: Batch, progress: Progress) -> Iterator[tuple[str, Tensor]]:
        """Each unit's projections of both views [B, 2, dim], made when they are requested."""
        encoder: Encoder = nets.encoder
        stages = list(encoder.stages())
        maps = encoder.normalise(torch.cat(two_views(self.views, batch, progress)))
        if self.overlap:
            _, maps = overlap(stages.pop(0), maps)
        for number, (stage, head) in enumerate(zip(stages, nets.heads, strict=True), start=1):
            if self.overlap:
                above, maps = overlap(stage, maps)
            else:
                above = maps = stage(maps.detach())
            z = head(encoder.pool(above))
            yield f"unit {number}", torch.stack(z.chunk(2), dim=1)
