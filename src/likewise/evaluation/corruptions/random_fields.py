"""Random numbers that are a function of a seed, an image's id and a name alone, made on the device that wants them."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

STEP, FIRST, SECOND = (
    word - 2**64 for word in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
"""SplitMix64's step and multipliers (Steele et al. 2014, https://doi.org/10.1145/2660193.2660195) as signed words."""


@dataclass(frozen=True)
class RandomFields:
    """Numbers for each image of a batch; neither its position in the batch nor the device changes them.

    Number n of an image is SplitMix64's n-th output from a start that is a hash of the image's key: no state is
    kept, so a batch is one sequence of whole-number operations, the same on every device to the last bit.
    """

    keys: Tensor
    """int64 [B], a word for each image"""

    @classmethod
    def of(cls, ids: Sequence[str], seed: int, device: torch.device | str = "cpu") -> RandomFields:
        """Fields for images with these ids.

        Args:
            ids: B stable names.
            seed: another seed gives other numbers.
            device: where the numbers will be made.
        """
        words = []
        for name in ids:
            key = f"{seed}\0{name}".encode(errors="surrogateescape")
            digest = hashlib.blake2b(key, digest_size=8).digest()
            words.append(int.from_bytes(digest, "big", signed=True))
        return cls(torch.tensor(words, dtype=torch.int64, device=device))

    def stream(self, name: str) -> RandomFields:
        """Other numbers for the same images."""
        # Its product wraps around.
        index = torch.tensor(zlib.crc32(name.encode()), device=self.keys.device)
        return RandomFields(_mixed(self.keys + index * STEP))

    def to(self, device: torch.device | str) -> RandomFields:
        """The same numbers, made elsewhere."""
        return RandomFields(self.keys.to(device, non_blocking=True))

    def uniform(self, *shape: int) -> Tensor:
        """Float32 [B, *shape], uniform in [0, 1)."""
        words = self._words(math.prod(shape))
        return _share(words, 40).view(-1, *shape)

    def normal(self, *shape: int) -> Tensor:
        """Float32 [B, *shape], normal with mean 0 and deviation 1 (Box and Muller 1958): two numbers a word."""
        count = math.prod(shape)
        words = self._words((count + 1) // 2)
        uniform = _share(words, 40).add_(2**-25)  # half a step up: never the logarithm of 0
        radius = uniform.log_().mul_(-2).sqrt_()
        angle = _share(words, 8).mul_(2 * math.pi)
        pairs = [radius * angle.cos(), radius * angle.sin()]
        both = torch.cat(pairs, dim=1)
        return both[:, :count].reshape(-1, *shape)

    def _words(self, count: int) -> Tensor:
        """int64 [B, count]: words in which every bit is as good as a toss."""
        index = torch.arange(1, count + 1, device=self.keys.device)
        return _mixed(self.keys[:, None] + index * STEP)


def _mixed(word: Tensor) -> Tensor:
    """SplitMix64's mixing of signed words; products wrap around. Alters its argument."""
    word = word.bitwise_xor_(_shifted(word, 30)).mul_(FIRST)
    word = word.bitwise_xor_(_shifted(word, 27)).mul_(SECOND)
    return word.bitwise_xor_(_shifted(word, 31))


def _shifted(word: Tensor, bits: int) -> Tensor:
    """Shifted right with zeros moved in; PyTorch's own shift of a negative word moves ones in."""
    return (word >> bits).bitwise_and_(2 ** (64 - bits) - 1)


def _share(words: Tensor, lowest: int) -> Tensor:
    """24 bits of each word, from the given one upwards, as float32 in [0, 1)."""
    bits = (words >> lowest).bitwise_and_(2**24 - 1)
    return bits.float().mul_(2**-24)
