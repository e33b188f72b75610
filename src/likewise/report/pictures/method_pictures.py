"""Which methods have pictures of their own on a run's page, and how these are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from likewise.data.batch import Batch
from likewise.evaluation.features import eval_mode
from likewise.methods import Method, Nets, Progress
from likewise.methods.cacr import CACR
from likewise.methods.flow_similarity import FlowSimilarity
from likewise.methods.global_local import GlobalLocal
from likewise.methods.lira import LiRA
from likewise.methods.ugan import UGAN
from likewise.report.pictures.attention import illustrate_attention
from likewise.report.pictures.contrastive_weights import illustrate_weights
from likewise.report.pictures.generated_images import illustrate_fakes
from likewise.report.pictures.illustration import Illustration
from likewise.report.pictures.motion_embeddings import illustrate_embeddings
from likewise.report.pictures.predicted_sound import illustrate_predicted_sound

Illustrate = Callable[[Any, Nets, Batch, Progress], Illustration | None]
"""From a method, its trained networks, a batch of training images and the progress: pictures, or None"""

PICTURES: dict[type[Method], Illustrate] = {
    CACR: illustrate_weights,
    FlowSimilarity: illustrate_embeddings,
    GlobalLocal: illustrate_attention,
    LiRA: illustrate_predicted_sound,
    UGAN: illustrate_fakes,
}
"""For a class of methods, what draws its pictures and those of its subclasses. Add your own here."""

IMAGES = 256
"""training images at most in the batch that is drawn"""


def draws_pictures(method: Method) -> bool:
    """Whether the method has pictures of its own."""
    return _illustrate_of(method) is not None


@torch.no_grad()
def illustrate(method: Method, nets: Nets, batch: Batch, progress: Progress) -> Illustration | None:
    """Pictures of what the trained networks make of a few training images.

    Args:
        method: any; None is returned for a method without pictures.
        nets: its networks; they are in eval mode while this runs.
        batch: of at most `IMAGES` training images, on the device of the networks.
        progress: that of the last step.
    """
    draw = _illustrate_of(method)
    if draw is None:
        return None
    with eval_mode(nets):
        return draw(method, nets, batch, progress)


def _illustrate_of(method: Method) -> Illustrate | None:
    for base in type(method).__mro__:
        if base in PICTURES:
            return PICTURES[base]
    return None
