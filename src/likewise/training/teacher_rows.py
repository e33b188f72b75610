"""What the encoders of teachers give in the first pass of a gradient cache, for the second."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from likewise.encoders import Encoder
from likewise.randomness import random_state

Rows = deque[Tensor | None]


class TeacherRows:
    """The features of each part of a batch, kept from the first pass over it to the second.

    Features [B, width] alone are kept: maps would take more memory than a microbatch saves.

    Args:
        nets: of a method.
    """

    def __init__(self, nets: nn.Module) -> None:
        encoders = [module for module in nets.modules() if isinstance(module, Encoder)]
        self.encoders = [each for each in encoders if each is not nets.encoder and is_frozen(each)]
        self.rows: dict[int, Rows] = {}

    @contextmanager
    def kept(self, part: int) -> Iterator[None]:
        """While the context is open, what frozen encoders give is kept, in order."""
        self.rows[part] = deque()
        with _forward_through(_forward_and_keep, self.rows[part], self.encoders):
            yield

    @contextmanager
    def given_again(self, part: int) -> Iterator[None]:
        """While the context is open, frozen encoders give what they gave in the first pass."""
        with _forward_through(_give_again, self.rows.pop(part), self.encoders):
            yield


def is_frozen(network: nn.Module) -> bool:
    """Whether no parameter takes a gradient."""
    return not any(parameter.requires_grad for parameter in network.parameters())


@contextmanager
def _forward_through(
    call: Callable[..., Tensor], rows: Rows, encoders: Sequence[Encoder]
) -> Iterator[None]:
    for encoder in encoders:
        encoder.forward = partial(call, rows, encoder.forward)
    try:
        yield
    finally:
        for encoder in encoders:
            del encoder.forward  # from here on the class's own again


def _forward_and_keep(rows: Rows, forward: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    device = inputs[0].device
    before = random_state(device)
    made = forward(*inputs)
    # Dropout must draw again, or what follows it would draw other numbers than in the first pass.
    drew_numbers = random_state(device) != before
    rows.append(None if drew_numbers else made)
    return made


def _give_again(rows: Rows, forward: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    made = rows.popleft()
    # A gradient may pass through a frozen network to what made its input.
    return forward(*inputs) if made is None or torch.is_grad_enabled() else made
