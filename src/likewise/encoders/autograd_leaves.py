"""Which tensors a result was computed from, as autograd knows it."""

from __future__ import annotations

from torch import Tensor


def leaves(result: Tensor) -> set[Tensor]:
    """The leaf tensors that would get a gradient; none of those that a custom backward keeps to itself."""
    found, seen, waiting = set(), set(), [result.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found.add(leaf)
        waiting.extend(following for following, _ in node.next_functions)
    return found
