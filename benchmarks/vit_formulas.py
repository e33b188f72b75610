"""What a step of a vision transformer costs, by formulas: parameters, bytes on the wire, memory, operations.

The network is that of Dosovitskiy et al. 2021, Sec. 3.1, https://arxiv.org/abs/2010.11929, as timm builds it: a class
token, L blocks of attention and a perceptron, and no classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

FLOAT, HALF = 4, 2
"""bytes of a number in float32, and in bfloat16"""

Shapes = Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class ViT:
    """The size of a network."""

    name: str
    """in timm"""
    width: int
    """D, numbers of a token"""
    depth: int
    """L, blocks"""
    heads: int
    """of the attention"""
    hidden: int
    """M, the perceptron's inner width"""
    patch: int
    """side in pixels"""
    side: int = 224
    """of the image in pixels"""

    @property
    def tokens(self) -> int:
        """T: patches, and the class token."""
        return (self.side // self.patch) ** 2 + 1

    @property
    def block(self) -> Shapes:
        """Parameters of a block: normalisation, attention, its projection, normalisation, perceptron."""
        width, hidden = self.width, self.hidden
        attention = ((3 * width, width), (3 * width,), (width, width), (width,))
        perceptron = ((hidden, width), (hidden,), (width, hidden), (width,))
        return ((width,),) * 4 + attention + perceptron

    @property
    def others(self) -> Shapes:
        """Parameters outside the blocks: class token, positions, patches, last normalisation."""
        width = self.width
        patches = ((width, 3, self.patch, self.patch), (width,))
        return ((1, 1, width), (1, self.tokens, width), *patches, (width,), (width,))

    @property
    def parameters(self) -> int:
        """P, all of them."""
        return self.depth * numbers(self.block) + numbers(self.others)

    def cut(self, ranks: int) -> int:
        """P where each rank holds as many rows of every parameter, the last ones padded with zeros."""
        return self.depth * padded(self.block, ranks) + padded(self.others, ranks)

    @property
    def forward_operations(self) -> int:
        """Multiplications and additions of one image's matrix products."""
        width, tokens = self.width, self.tokens
        linear = 2 * tokens * (4 * width**2 + 2 * width * self.hidden)
        attention = 4 * tokens**2 * width
        return self.depth * (linear + attention) + self.patch_operations

    @property
    def patch_operations(self) -> int:
        """The same of the patches alone, whose input needs no gradient."""
        return 2 * (self.tokens - 1) * 3 * self.patch**2 * self.width

    @property
    def recomputed_operations(self) -> int:
        """The same of all blocks where the backward pass computes them again: activation checkpointing.

        It stops at the last number that it needs, and so leaves out the perceptron's second product.
        """
        second = 2 * self.tokens * self.width * self.hidden
        return self.forward_operations - self.patch_operations - self.depth * second

    def step_operations(self, microbatches: int = 1, checkpointed: bool = False) -> int:
        """Forward, and the backward pass with twice as many; every microbatch but the last goes forward twice."""
        again = self.forward_operations * (microbatches - 1) // microbatches
        again += self.recomputed_operations if checkpointed else 0
        return 3 * self.forward_operations - self.patch_operations + again

    def activations(self, precision: int, checkpointed: bool = False) -> int:
        """Bytes that one image keeps for the backward pass at most, where attention keeps no scores.

        Those of all blocks; or with activation checkpointing the inputs of all, and the rest of one.

        Args:
            precision: bytes of a number in matrix products.
            checkpointed: whether the backward pass computes blocks again.
        """
        block = self.block_activations(precision)
        if not checkpointed:
            return self.depth * block + self.other_activations(precision)
        rest = block - self.block_inputs // self.depth
        return self.block_inputs + rest + self.other_activations(precision)

    def block_activations(self, precision: int) -> int:
        """Bytes that one image keeps of a block.

        Of each token: the inputs of both normalisations in float32, with mean and deviation; of attention its input,
        queries, keys, values, output and log-sums; the perceptron's input, and hidden layer before and after GELU.
        """
        width = self.width
        in_float32 = FLOAT * (2 * width + 4 + self.heads)
        return self.tokens * (in_float32 + precision * (6 * width + 2 * self.hidden))

    def other_activations(self, precision: int) -> int:
        """Bytes that one image keeps outside blocks: its pixels, and the input of the last normalisation."""
        return FLOAT * self.tokens * (self.width + 2) + precision * 3 * self.side**2

    def hidden_gradients(self, precision: int) -> int:
        """Bytes of one image's gradients of a hidden layer before and after GELU, the largest ones at a time."""
        return 2 * precision * self.tokens * self.hidden

    @property
    def block_inputs(self) -> int:
        """Bytes of the inputs of all blocks, which are in float32 in mixed precision too."""
        return FLOAT * self.depth * self.tokens * self.width


def numbers(shapes: Shapes) -> int:
    """Of parameters together."""
    return sum(prod(shape) for shape in shapes)


def padded(shapes: Shapes, ranks: int) -> int:
    """The same where FSDP2 cuts each parameter along its first dimension into equal parts."""
    return sum(ceil(shape[0] / ranks) * ranks * prod(shape[1:]) for shape in shapes)


def head_shapes(width: int, hidden: int, dim: int) -> Shapes:
    """Parameters of SimCLR's head: linear without bias, batch normalisation, linear."""
    return ((hidden, width), (hidden,), (hidden,), (dim, hidden), (dim,))


def gathers(microbatches: int) -> int:
    """How often a step gathers each parameter: a pass forward, and one backward.

    With microbatches every one but the last goes forward twice.
    """
    return 2 if microbatches == 1 else 3 * microbatches - 1


@dataclass(frozen=True)
class Sharded:
    """What one rank holds, and receives in a step, of a network that is cut among the ranks, with AdamW."""

    network: ViT
    head: Shapes
    ranks: int
    gathered: int
    """bytes of a number of the encoder's weights where they are gathered; of the head's always 4"""
    microbatches: int = 1

    @property
    def weights(self) -> int:
        """Bytes of the first rank's weights, in float32; gradients take as many, and AdamW's state twice."""
        return FLOAT * (self.network.cut(self.ranks) + padded(self.head, self.ranks)) // self.ranks

    @property
    def whole_gradients(self) -> int:
        """Bytes of gradients that are summed whole until the last microbatch; 0 where there is but one."""
        if self.microbatches == 1:
            return 0
        return FLOAT * (self.network.parameters + numbers(self.head))

    @property
    def sent_gradients(self) -> int:
        """Bytes of one block's gradients, in float32, while they are whole to be sent."""
        return FLOAT * padded(self.network.block, self.ranks)

    @property
    def gathered_weights(self) -> int:
        """Bytes of whole weights at a time: those outside the blocks, one block, and the next one."""
        network = self.network
        return self.gathered * (
            padded(network.others, self.ranks) + 2 * padded(network.block, self.ranks)
        )

    @property
    def gather_received(self) -> int:
        """Bytes that the all-gathers of weights receive in a step."""
        network = self.gathered * self.network.cut(self.ranks)
        whole = network + FLOAT * padded(self.head, self.ranks)
        return gathers(self.microbatches) * whole // self.ranks * (self.ranks - 1)

    @property
    def scatter_received(self) -> int:
        """Bytes that the reduce-scatters of gradients, in float32, receive in a step."""
        whole = FLOAT * (self.network.cut(self.ranks) + padded(self.head, self.ranks))
        return whole // self.ranks * (self.ranks - 1)
