"""How many images a device embeds at a time: as given, or as many as fit its memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from likewise.collectives import alone, min_over_ranks, rank, world_size
from likewise.counts import amount
from likewise.data.loader import Loader
from likewise.errors import LikewiseError
from likewise.methods import Method, Nets, Progress
from likewise.methods.nets import batch_norms
from likewise.training.cached_gradients import gradients_of
from likewise.training.manual_backward import AutocastLearner, ManualBackward, OneDevice
from likewise.training.memory_layout import channels_last

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Microbatch = int | Literal["auto"] | None
"""Images that a device embeds at a time; None: all that it has in a step."""


def choose_microbatch(
    wanted: Microbatch, fabric: Fabric, method: Method, nets: Nets, loader: Loader, steps: int
) -> int | None:
    """The microbatch as a number; ``auto`` becomes the largest one whose first step fits the GPU's memory.

    A GPU tries the first step with all images, then with about half as many, and so on. The networks and all random
    numbers are as before afterwards. A CPU, whose memory has no hard end, embeds all images at once.

    Args:
        wanted: as given.
        fabric: launched.
        method: whose first step is tried.
        nets: what it built.
        loader: this process's batches.
        steps: optimiser steps of the run.

    Raises:
        LikewiseError: not even the smallest microbatch fits.
    """
    if wanted != "auto":
        return wanted
    if fabric.device.type != "cuda":
        return None
    images = loader.batch_size // world_size()
    sizes = halved(microbatch_sizes(images, nets))

    def fits(size: int) -> bool:
        return first_step_fits(fabric, method, nets, loader, steps, images // size)

    # The same one on every device.
    found = min_over_ranks(largest_that_fits(sizes, fits), fabric.device)
    if found == 0:
        raise LikewiseError(
            f"--microbatch auto was given, but {fabric.device} cannot hold a step even with microbatches of "
            f"{sizes[-1]}. Choose a smaller --image-size, --batch-size or --encoder."
        )
    return found


def largest_that_fits(sizes: Sequence[int], fits: Callable[[int], bool]) -> int:
    """The first size that fits, 0 if none does."""
    for size in sizes:
        if fits(size):
            return size
    return 0


def first_step_fits(
    fabric: Fabric, method: Method, nets: Nets, loader: Loader, steps: int, pieces: int
) -> bool:
    """Whether forward and backward of the first step run in a number of microbatches without running out of memory.

    Each device tries its own rows, for a device that waits for one that has run out of memory would wait for ever.
    What the optimiser will keep is reserved meanwhile: two numbers for each parameter, as AdamW does.
    """
    nets.to(fabric.device)
    channels_last(nets)
    is_gpu = fabric.device.type == "cuda"
    state, training = nets.state_dict(), nets.training
    before = {name: tensor.to("cpu", copy=True) for name, tensor in state.items()}
    progress = Progress(0, steps, loader.seed, rank(), world_size(), loader.steps_per_epoch)
    generators = [fabric.device] if is_gpu else []
    learned = [parameter for parameter in nets.parameters() if parameter.requires_grad]
    try:
        with torch.random.fork_rng(generators), alone():
            reserved = [
                torch.empty(2, parameter.numel(), device=fabric.device) for parameter in learned
            ]
            batch = loader.batch(0).to(fabric.device)
            method.before_step(nets.train(), batch, progress, ManualBackward(fabric, nets, pieces))
            device = OneDevice(fabric)
            gradients = gradients_of(device, AutocastLearner(device, method, nets), pieces)
            gradients.backward(gradients.forward(batch, progress))
            del reserved
        return True
    except torch.cuda.OutOfMemoryError:
        return False
    finally:
        nets.zero_grad(set_to_none=True)
        nets.load_state_dict(before)
        nets.train(training)
        if is_gpu:
            torch.cuda.empty_cache()


def count_microbatches(microbatch: int | None, batch: int, nets: nn.Module) -> int:
    """Into how many microbatches a device's batch is cut.

    Args:
        microbatch: images of one; None takes them all.
        batch: images of a step on one device.
        nets: for which a microbatch of one image may be too few.

    Raises:
        LikewiseError: it does not divide the batch, or is too small to be normalised.
    """
    if microbatch is None:
        return 1
    allowed = microbatch_sizes(batch, nets)
    if microbatch in allowed:
        return batch // microbatch
    if not allowed:
        raise LikewiseError(
            f"--microbatch {microbatch} was given, but a device has {batch} image in a step, and batch normalisation "
            f"needs 2. Leave --microbatch out, or give a larger --batch-size."
        )
    nearest = max([size for size in allowed if size <= microbatch], default=allowed[0])
    if microbatch > batch:
        why = f"is more than the {batch} images that a device has in a step"
    elif microbatch == 1:
        why = "is too few: batch normalisation needs 2 images or more"
    else:
        why = f"does not cut the {batch} images that a device has in a step into equal parts"
    others = f" one of {', '.join(map(str, allowed))}, for instance" if len(allowed) > 1 else ""
    raise LikewiseError(
        f"--microbatch {microbatch} was given, which {why}. Choose{others} --microbatch {nearest}."
    )


def microbatch_sizes(batch: int, nets: nn.Module) -> list[int]:
    """Sizes that cut a device's batch into equal parts, smallest first; batch normalisation needs 2 images or more."""
    least = 2 if normalises_batches(nets) else 1
    return [size for size in range(least, batch + 1) if batch % size == 0]


def halved(sizes: Sequence[int]) -> list[int]:
    """Of sizes that rise, the largest, the largest of at most half of it, and so on."""
    chosen = [sizes[-1]]
    for size in reversed(sizes):
        if size <= chosen[-1] / 2:
            chosen.append(size)
    return chosen


def normalises_batches(nets: nn.Module) -> bool:
    """Whether some layer's output depends on the other rows of the batch, by batch normalisation in training mode."""
    return any(module.training for module in batch_norms(nets))


def microbatch_line(wanted: Microbatch, pieces: int, batch_size: int, nets: nn.Module) -> str:
    """What the first screen says of microbatches; empty where there is nothing to say.

    Args:
        wanted: as given.
        pieces: microbatches in a device's batch.
        batch_size: images of a step over all devices.
        nets: which may normalise by the batch.
    """
    if pieces == 1:
        return "--microbatch auto: all images of a step fit at once" if wanted == "auto" else ""
    images = batch_size // pieces
    line = (
        f"microbatches of {images // world_size()}{', found by trying' if wanted == 'auto' else ''}"
    )
    if normalises_batches(nets):
        line += (
            f"; batch normalisation sees {amount(images, 'image')} at a time, not {batch_size:,}"
        )
    return line
