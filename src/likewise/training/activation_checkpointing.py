"""Activation checkpointing: blocks of an encoder keep their input alone, and are computed again in the backward pass.

Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost, https://arxiv.org/abs/1604.06174, by PyTorch's
https://docs.pytorch.org/docs/stable/checkpoint.html. Dropout drops the same units again, and running statistics of
batch normalisation move once, so loss, gradients and networks are those without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from likewise.encoders import Encoder
from likewise.encoders.text import TextEncoder
from likewise.errors import LikewiseError
from likewise.training.blocks import outer_blocks
from likewise.training.replaced_forward import ReplacedForward
from likewise.training.running_statistics import running_statistics

NOT_CAPTURED = (
    "activation checkpointing reads the state of the random generator on the host, which PyTorch does not allow "
    "while it captures"
)


@contextmanager
def activation_checkpointing(nets: nn.Module) -> Iterator[None]:
    """While the context is open, blocks of encoders are computed again in the backward pass.

    Parameters, buffers, classes and names stay as they are: a block only gets another ``forward`` for a while, which
    its copies and pickles do not have. Without gradient a block is computed once.

    Args:
        nets: as they are trained.
    """
    changed: list[tuple[nn.Module, dict[str, Any]]] = []
    try:
        for block in checkpointed_blocks(nets):
            changed.append((block, {k: v for k, v in vars(block).items() if k == "forward"}))
            block.forward = _Checkpointed(block, block.forward)
        yield
    finally:
        for block, before in changed:
            del block.forward
            vars(block).update(before)


def checkpointed_blocks(nets: nn.Module) -> list[nn.Module]:
    """The blocks of all encoders of images, clips and texts."""
    blocks: dict[nn.Module, None] = {}
    for module in nets.modules():
        if isinstance(module, Encoder | TextEncoder):
            blocks.update(dict.fromkeys(outer_blocks(module)))
    return list(blocks)


def require_blocks(encoder: Encoder, name: str) -> None:
    """Refuse an encoder that has none.

    Raises:
        LikewiseError: with the option.
    """
    if not outer_blocks(encoder):
        raise LikewiseError(
            f"--activation-checkpointing was given, but --encoder {name} has no blocks that could be computed again: "
            f"modules in an nn.Sequential or nn.ModuleList that are made of layers themselves, as in transformers and "
            f"ResNets. Leave it out, or give --microbatch, which saves memory with every encoder."
        )


class _Checkpointed(ReplacedForward):
    """Computes a block again in the backward pass."""

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        if torch.compiler.is_compiling():  # a compiler moves buffers once
            return checkpoint(self.forward, *inputs, use_reentrant=False, **named)
        return checkpoint(
            self.forward, *inputs, use_reentrant=False, context_fn=self.contexts, **named
        )

    def contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Around the block's first computation, and around the second."""
        return nullcontext(), _kept_statistics(self.module)


@contextmanager
def _kept_statistics(block: nn.Module) -> Iterator[None]:
    """Running statistics of batch normalisation are afterwards what they were before."""
    buffers = running_statistics(block)
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
