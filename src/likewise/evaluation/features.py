"""Features of images: one pass through an encoder in eval mode."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from likewise.counts import amount
from likewise.data.batch import Pixels
from likewise.data.images import DecodedRows, Images
from likewise.data.left_out import some_files
from likewise.errors import LikewiseError, NothingReadable
from likewise.views.view import View

READERS = 2
"""threads that decode ahead of the encoder; image decoders release the interpreter lock"""


class PixelReader(Protocol):
    """Decoded images by position."""

    def read(self, index: Tensor) -> Pixels:
        """int64 [B] -> pixels of those images, every one of them."""
        ...


EvalView = Callable[[Pixels], View | Tensor]
"""The encoder's input from stored pixels, without randomness: ``views.policies.centre()``, or any function to
float [B, C, S, S] in [0, 1]"""


class Extracted(NamedTuple):
    """Features of the images that could be read."""

    vectors: Tensor
    """float32 [M, D] on the CPU"""
    positions: Tensor
    """int64 [M], the positions of those images; the ids of the others are in ``images.unreadable``"""


def extract(
    encoder: nn.Module,
    images: PixelReader,
    index: Tensor,
    view: EvalView,
    batch_size: int = 512,
    device: torch.device | str | None = None,
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

    Raises:
        LikewiseError: there is no image, or one cannot be decoded.
    """

    def read(positions: Tensor) -> DecodedRows:
        return DecodedRows(images.read(positions), positions)

    batches = _split(index, images, batch_size)
    return _encode(encoder, read, batches, view, device).vectors


def extract_readable(
    encoder: nn.Module,
    images: Images,
    index: Tensor,
    view: EvalView,
    batch_size: int = 512,
    device: torch.device | str | None = None,
) -> Extracted:
    """Features of those images that can be decoded, as `extract` gives them; the others have no row.

    Raises:
        LikewiseError: there is no image.
        NothingReadable: none can be decoded.
    """
    found = _encode(encoder, images.readable, _split(index, images, batch_size), view, device)
    if not len(found.positions):
        files = some_files(images.unreadable)
        raise NothingReadable(
            f"None of {amount(len(index), 'image')} can be decoded. {files}", images.unreadable
        )
    return found


def _split(index: Tensor, images: PixelReader, batch_size: int) -> tuple[Tensor, ...]:
    if not len(index):
        raise LikewiseError("There are no images to take features of: the index is empty.")
    return index.split(max(batch_size // getattr(images, "frames", 1), 1))


def _encode(
    encoder: nn.Module,
    read: Callable[[Tensor], DecodedRows],
    batches: Sequence[Tensor],
    view: EvalView,
    device: torch.device | str | None,
) -> Extracted:
    """Features of what ``read`` gives of each batch of positions."""
    where = torch.device(device) if device is not None else _device_of(encoder)
    encoder = encoder.to(where)
    count = sum(len(batch) for batch in batches)
    vectors = torch.empty(0, 0)
    positions = torch.empty(count, dtype=torch.int64)
    filled = 0
    with eval_mode(encoder):
        for rows in read_ahead(read, batches):
            if not len(rows.positions):
                continue
            with torch.inference_mode():
                batch = encoder(pixels_of_view(view, rows.pixels, where))
            # Allocated outside inference mode, since a probe that differentiates may read the features.
            if not filled:
                vectors = torch.empty(count, batch.shape[1])
            vectors[filled : filled + len(batch)] = batch.float().cpu()
            positions[filled : filled + len(batch)] = rows.positions
            filled += len(batch)
    return Extracted(vectors[:filled], positions[:filled])


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


def read_ahead(
    read: Callable[[Tensor], DecodedRows], batches: Sequence[Tensor]
) -> Iterator[DecodedRows]:
    """Batches in order, a few of them decoded ahead."""
    waiting: deque[Future[DecodedRows]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        for positions in batches:
            waiting.append(pool.submit(read, positions))
            if len(waiting) > READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _device_of(network: nn.Module) -> torch.device:
    parameter = next(network.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
