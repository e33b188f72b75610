"""Numbers of a row are a function of the key, the call and the row alone, whoever makes them."""

import numpy as np
import pytest
import torch

import likewise as lw
from likewise.randomness import BatchRNG, Uniform, generator, philox
from likewise.randomness.ranges import Rows
from losses.kernels import (
    DEVICE,
    compiled_for_a_gpu_that_is_not_here,
    needs_triton,
    on_kernels,
)

RANGES = (Uniform(-2, 3), Uniform(columns=4), Uniform(0.1, 0.2, 1), Uniform(5, 5), Uniform(-1, 1))
PARTS = [(7, 7, 0, 1), (3, 7, 2, 1), (3, 7, 1, 2), (1, 7, 6, 1)]
"""rows, total, first, stride"""


def of_numpy(key, call, total):
    """By NumPy's generator of float32, which takes 24 bits of each half of Philox's words; a range after the other."""
    words = np.random.SeedSequence(philox.words_of(key)).generate_state(2, np.uint64)
    random = np.random.Generator(np.random.Philox(key=words, counter=[0, call, 0, 0]))
    for each in RANGES:
        shape = (total,) if each.columns is None else (total, each.columns)
        drawn = torch.from_numpy(random.random(shape, dtype=np.float32))
        yield drawn * (each.high - each.low) + each.low


BATCH = lw.data.Batch.of(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize("seed", [2**32, 2**40 + 1, -1])
def test_a_seed_that_would_equal_another_is_refused(seed):
    progress = lw.methods.Progress(0, 10, seed=seed)
    for draw in (
        lambda: progress.rng("first", BATCH).uniform(),
        progress.seed_dropout,
        lambda: generator(seed, "weights"),
    ):
        with pytest.raises(lw.LikewiseError, match=f"{seed} .*{2**32 - 1}"):
            draw()


def test_the_largest_seed_is_told_apart():
    first, last = (lw.methods.Progress(0, 10, seed=seed) for seed in (0, 2**32 - 1))
    drawn = [each.rng("first", BATCH).uniform() for each in (first, last)]
    assert not torch.equal(*drawn)


@pytest.mark.parametrize(("rows", "total", "first", "stride"), PARTS)
def test_numbers_are_those_of_numpy_and_of_the_row(rows, total, first, stride):
    rng = BatchRNG((3, "view"), rows, total, first, stride)
    own = slice(first, first + (rows - 1) * stride + 1, stride)
    for call in range(2):
        expected = of_numpy((3, "view"), call, total)
        for found, wanted in zip(rng.uniforms(RANGES), expected, strict=True):
            assert torch.equal(found, wanted[own])


def test_streams_are_independent_of_what_was_drawn_before():
    rng = BatchRNG((3,), 7)
    expected = BatchRNG((3, "view"), 7).uniform()
    rng.uniform()
    assert torch.equal(rng.stream("view").uniform(), expected)


def test_a_call_on_any_device_takes_the_next_numbers():
    rng, alone = BatchRNG((3,), 7), BatchRNG((3,), 7)
    there = rng.on(torch.device(DEVICE))
    for drawing in (rng, there, rng):
        assert torch.equal(drawing.uniform().cpu(), alone.uniform())


@on_kernels
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("call", [0, 3])
def test_kernels_make_the_numbers_of_the_cpu(part, call):
    # The low end is not zero, and the width no power of two: two roundings.
    ranges = (*RANGES, Uniform(0.3, 7.1, 9), Uniform(-1.3, 0.4, 33))
    rows = Rows(*(40 * number if place < 2 else number for place, number in enumerate(part)))
    key = philox.key_of((5, "view"))
    found = philox.made_by_kernel(key.to(DEVICE), call, ranges, rows)
    assert torch.equal(found.cpu(), philox.made_on_cpu(key, call, ranges, rows))


COMPILING = """
from likewise.randomness import Uniform, philox, philox_kernel
from likewise.randomness.ranges import Rows

philox.kernels = compiled
philox.made_by_kernel(philox.key_of((1,)), 0, (Uniform(), Uniform(columns=3)), Rows(16, 64))
built, = philox_kernel.lines_kernel.device_caches[0][0].values()
assert "fma" not in built.asm["ptx"] and "mul.hi.u64" in built.asm["ptx"]
print("separately", end=" ")
"""


@needs_triton
def test_the_kernel_compiles_for_a_gpu_that_is_not_here():
    assert compiled_for_a_gpu_that_is_not_here(COMPILING) == 1
