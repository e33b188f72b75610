"""Features of images: one pass through an encoder in eval mode."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from likewise.data.batch import Pixels
from likewise.errors import LikewiseError
from likewise.views.view import View

READERS = 2
"""threads that decode ahead of the encoder; image decoders release the interpreter lock"""


class PixelReader(Protocol):
    """Decoded images by position."""

    def read(self, index: Tensor) -> Pixels:
        """int64 [B] -> pixels of those images."""
        ...


EvalView = Callable[[Pixels], View | Tensor]
"""The encoder's input from stored pixels, without randomness: ``views.policies.centre()``, or any function to
float [B, C, S, S] in [0, 1]"""


def extract(
    encoder: nn.Module,
    images: PixelReader,
    index: Tensor,
    view: EvalView,
    batch_size: int = 512,
    device: torch.device | str | None = None,
    autocast: torch.dtype | None = None,
) -> Tensor:
    """Features of some images, float32 [N, D] on the CPU, in the order of ``index``.

    The encoder runs in eval mode, so that batch norm uses its running statistics and a score does not depend on the
    batch; afterwards every module is in the mode that it had before.

    Args:
        encoder: float [B, C, S, S] -> [B, D].
        images: where the pixels are.
        index: int64 [N], positions in ``images``.
        view: the encoder's input from stored pixels.
        batch_size: images at a time; of clips, the number of frames at a time.
        device: where to compute; ``None`` leaves the encoder where it is.
        autocast: a lower precision of the forward pass, such as ``torch.bfloat16``; features are float32 all the same.
    """
    if not len(index):
        raise LikewiseError("There are no images to take features of: the index is empty.")
    where = torch.device(device) if device is not None else _device_of(encoder)
    encoder = encoder.to(where)
    vectors: Tensor | None = None
    filled = 0
    with eval_mode(encoder), torch.autocast(where.type, dtype=autocast, enabled=autocast is not None):
        for pixels in _read_ahead(images, index.split(max(batch_size // getattr(images, "frames", 1), 1))):
            with torch.inference_mode():
                batch = encoder(pixels_of_view(view, pixels, where))
            # Allocated outside inference mode, since a probe that differentiates may read the features.
            if vectors is None:
                vectors = torch.empty(len(index), batch.shape[1])
            vectors[filled : filled + len(batch)] = batch.float().cpu()
            filled += len(batch)
    assert vectors is not None
    return vectors


def pixels_of_view(view: EvalView, pixels: Pixels, device: torch.device | str) -> Tensor:
    """The view's pixels on a device, float [B, C, S, S] in [0, 1]."""
    made = view(pixels.map(lambda part: part.to(device, non_blocking=True)))
    return made.pixels if isinstance(made, View) else made


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[nn.Module]:
    """The network in eval mode inside the block; each module returns to its own mode at the end."""
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        yield network
    finally:
        for part, training in modes:
            part.training = training


def _read_ahead(images: PixelReader, batches: tuple[Tensor, ...]) -> Iterator[Pixels]:
    """Batches in order, a few of them decoded ahead."""
    waiting: deque[Future[Pixels]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        for positions in batches:
            waiting.append(pool.submit(images.read, positions))
            if len(waiting) > READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _device_of(network: nn.Module) -> torch.device:
    parameter = next(network.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
