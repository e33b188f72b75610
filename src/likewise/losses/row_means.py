"""Losses that are means over rows with a target each: every rank takes the mean of its share of the rows."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec

from torch import Tensor

from likewise.collectives import shard_of, summed_over_ranks, whole_rows

P = ParamSpec("P")


def mean_over_rows(*names: str) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """Divide the rows of a loss among the ranks, where `collectives.sharded_rows` says that all have the same.

    Args:
        *names: of the arguments whose first dimension is the row; the first of them is the loss's first.
    """

    def decorated(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
        signature = inspect.signature(loss)

        @functools.wraps(loss)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> Tensor:
            first = args[0] if args else next(iter(kwargs.values()))
            assert isinstance(first, Tensor)
            shard = shard_of(len(first))
            if shard is None:
                return loss(*args, **kwargs)
            given = signature.bind(*args, **kwargs)
            for name in names:
                rows = given.arguments.get(name)
                if rows is not None:
                    given.arguments[name] = rows[shard.own]
            with whole_rows():
                own = loss(*given.args, **given.kwargs)
            return summed_over_ranks(own * (shard.count / shard.rows))

        return wrapped

    return decorated
