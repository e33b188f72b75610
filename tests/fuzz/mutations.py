"""Damage to a file's bytes as disks, networks and enemies do it."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

EDGES = (
    0,
    1,
    2,
    7,
    8,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)
"""numbers at which sizes and counts overflow"""
TEXTS = (
    b"\0",
    b"\n",
    b"\r",
    b",",
    b";",
    b'"',
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"../",
    b"/",
    b"-1",
    b"nan",
    b"=cmd()",
    b"\x80",
)

Mutation = Callable[[bytes, random.Random, Sequence[bytes]], bytes]


def mutated(content: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """The bytes after one to four mutations; ``others`` are contents that parts may be taken from."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        content = chance.choice(MUTATIONS)(content, chance, others)
    return content


def flip_bits(content: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    """A few bits, anywhere."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 3, 20))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def flip_head(content: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Bits of the first bytes, where headers are."""
    return flip_bits(content[:128], chance, others) + content[128:]


def flip_tail(content: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Bits of the last bytes, where Parquet and zip have their tables."""
    return content[:-512] + flip_bits(content[-512:], chance, others)


def cut(content: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    """An end that is missing."""
    return content[: chance.randrange(len(content) + 1)]


def remove(content: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    """A piece from the middle."""
    start = chance.randrange(len(content) + 1)
    return content[:start] + content[start + chance.choice((1, 4, 100, 600)) :]


def splice(content: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """A piece of another file instead of some bytes."""
    other = chance.choice(others)
    length, start = chance.choice((4, 16, 200, len(other))), chance.randrange(len(content) + 1)
    first = chance.randrange(max(len(other) - length, 0) + 1)
    return content[:start] + other[first : first + length] + content[start + length :]


def zeros(content: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    """A block of zeros, as a disk leaves it."""
    start, length = chance.randrange(len(content) + 1), chance.choice((8, 64, 512, 4096))
    return (content[:start] + b"\0" * length + content[start + length :])[: len(content)]


def number(content: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    """A number at which sizes overflow, of 1, 2 or 4 bytes, in either order, the sooner the likelier."""
    size, order = chance.choice((1, 2, 4)), chance.choice("<>")
    packed = struct.pack(f"{order}I", chance.choice(EDGES))
    packed = packed[:size] if order == "<" else packed[-size:]
    start = int(len(content) * chance.random() ** 3)
    return content[:start] + packed + content[start + size :]


def text(content: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    """Signs that mean something to parsers of text."""
    start = chance.randrange(len(content) + 1)
    return content[:start] + chance.choice(TEXTS) + content[start + chance.choice((0, 1)) :]


def twice(content: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    """A line or a piece once more."""
    start = chance.randrange(len(content) + 1)
    length = chance.choice((1, 12, 512))
    return content[: start + length] + content[start : start + length] + content[start + length :]


def foreign(_: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Another kind of file under this name."""
    return chance.choice((*others, b"", b"<html>404</html>", b"\0" * 1000))


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits, flip_head, flip_tail, cut, remove, splice, zeros, number, number, text, twice, foreign,
)  # fmt: skip
