"""Training on labelled images alone: few of them are repeated until they fill a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.images import Images
from likewise.data.loader import Loader
from likewise.methods import Method, Nets, Recipe, with_view_size
from likewise.training.callbacks import Callback
from likewise.training.logs import TrainingState
from likewise.training.loop import train
from likewise.training.loop_settings import LoopSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def fine_tune(
    fabric: Fabric,
    method: Method,
    nets: Nets,
    images: Images,
    labels: Tensor,
    recipe: Recipe,
    steps: int,
    batch_size: int,
    seed: int,
    callbacks: Sequence[Callback] = (),
    image_size: int | None = None,
) -> TrainingState:
    """Train ``nets`` on the labelled images; fewer than a batch are repeated, each time in another view.

    Args:
        fabric: device and precision.
        method: the rule, such as cross-entropy; its views get a size where they name none.
        nets: what it built.
        images: labelled and unlabelled images; only labelled ones are used.
        labels: int64 [N], -1 for unlabelled images.
        recipe: optimiser and schedule.
        steps: optimiser steps.
        batch_size: labelled images of a step.
        seed: of the order of images and the views.
        callbacks: called in this order.
        image_size: side in pixels of views that name none; None: as stored.
    """
    labelled = (labels != UNLABELLED).nonzero().flatten()
    repeated = labelled.repeat(math.ceil(batch_size / len(labelled)))
    loader = Loader(images.take(repeated), labels[repeated], batch_size, seed)
    sized = with_view_size(method, image_size or images.size, images.frames)
    plan = LoopSettings(steps, seed, log_every=steps)
    return train(fabric, sized, nets, loader, recipe, plan, callbacks=callbacks)
