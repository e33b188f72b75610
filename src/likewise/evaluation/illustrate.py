"""A method's own pictures of what it learned, made at the end of a run."""

from __future__ import annotations

from dataclasses import replace

import torch

from likewise.methods import Method, Nets, Progress
from likewise.run_folder import RunFolder
from likewise.training.prepare import Prepared

IMAGES = 256
"""Training images at most that a method is shown for its pictures."""


def illustrate(run: RunFolder, prepared: Prepared, nets: Nets, steps: int, device: torch.device) -> None:
    """Write what the method makes of some training images, seen as in its last step, if it has something to show.

    Args:
        run: where ``illustration.npz`` is written.
        prepared: the run; its first images are shown, fewer than a batch where that is large.
        nets: the trained networks, in eval mode.
        steps: of the whole run.
        device: where the networks are.
    """
    method = prepared.method
    if type(method).illustrate is Method.illustrate:
        return
    settings = replace(prepared.settings, batch_size=min(prepared.batch_size, IMAGES))
    batch = replace(prepared, settings=settings).loader().batch(0).to(device)
    with torch.no_grad():
        made = method.illustrate(nets.eval(), batch, Progress(steps - 1, steps, settings.seed))
    if made is not None:
        made.save(run.illustration)
