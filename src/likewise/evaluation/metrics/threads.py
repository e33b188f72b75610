"""The number of threads that suits the size of an operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SHORT = 2e8
"""multiplications that one thread does in about five milliseconds"""

LARGE = 1536
"""rows of a matrix from which several threads decompose it"""


@contextmanager
def threads_for(products: int) -> Iterator[None]:
    """One thread inside the block if its largest operation is short; this applies to the whole process meanwhile.

    On a busy machine the threads of an operation wait up to 8 ms for each other: few-label probes of 10,000 x 128
    features took 12.6 CPU seconds on two threads and 2.5 on one.

    Args:
        products: multiplications of the largest operation inside.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(threads if products > SHORT else 1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def threads_for_decomposition(rows: int) -> Iterator[None]:
    """One thread inside the block, which finds eigenvalues or singular values, unless the matrix is large.

    LAPACK's reduction to a few diagonals makes a short product for each column, after which threads wait for each
    other. Beside other work on two cores the eigenvectors of 256 rows took 3.0 s on two threads and 0.04 on one,
    those of 1,280 rows 2.7 s and 0.9.

    Args:
        rows: of the matrix, or columns where there are fewer.
    """
    with threads_for(rows**3 if rows > LARGE else 0):
        yield
