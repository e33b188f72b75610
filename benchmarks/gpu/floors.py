"""The floor of a method's step: what its own views and its own networks take alone.

Its loss, its update, its teacher's and its queue's are what a step may cost beyond that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gpu.section import Result, graph_milliseconds
from likewise.data.batch import Batch
from likewise.methods import Method, Nets, Progress
from likewise.randomness import BatchRNG
from likewise.training.batch_norm import fused_batch_norm
from likewise.training.memory_layout import channels_last
from likewise.views.from_callable import RequestedViews
from likewise.views.image.making import make_view


class Call(NamedTuple):
    """A network that a step called."""

    network: nn.Module
    given: Tensor
    """of the same form as what it was given"""
    learns: bool
    """whether a gradient went back through it"""


def floor(method: Method, nets: Nets, batch: Batch) -> Result:
    """Milliseconds of the device for one step's views, and for its networks, forward and backward.

    Args:
        method: the rule.
        nets: what it built, on the device.
        batch: of the loader, on the same device.
    """
    channels_last(nets)
    batch = _asking_for_views(batch)
    with _noted(nets) as calls, _autocast(batch):
        method.step(nets, batch, Progress(0, 100))
    views = sum(_views(batch))
    with fused_batch_norm(nets, batch.labels.device):
        networks = graph_milliseconds(lambda: _again(calls, batch), calls=1)
    return {
        "views (ms)": round(views, 3),
        "networks (ms)": round(networks, 3),
        "floor (ms)": round(views + networks, 3),
        "calls of networks": len(calls),
        "with gradient": sum(call.learns for call in calls),
    }


def _asking_for_views(batch: Batch) -> Batch:
    """The same batch, which notes whose views were asked for."""
    pixels = batch.pixels._replace(views=RequestedViews())
    support = None if batch.support is None else _asking_for_views(batch.support)
    return batch._replace(pixels=pixels, support=support)


def _views(batch: Batch | None) -> Iterator[float]:
    """Milliseconds of each view that a step asked for, of images and of the support, without its draws."""
    if batch is None:
        return
    pixels = batch.pixels._replace(views=None)
    assert isinstance(batch.pixels.views, RequestedViews)
    for name, policy in batch.pixels.views.policies.items():
        params = policy.sample_params(pixels, BatchRNG((0, name), batch.size))
        work = partial(make_view, pixels.images, params, policy.size or pixels.images.shape[-1])
        yield graph_milliseconds(work)
    yield from _views(batch.support)


@contextmanager
def _noted(nets: Nets) -> Iterator[list[Call]]:
    """While the context is open, calls of networks are noted."""
    calls: list[Call] = []

    def note(network: nn.Module, given: tuple[Tensor, ...]) -> None:
        learns = torch.is_grad_enabled() and any(p.requires_grad for p in network.parameters())
        like = torch.rand_like(given[0].detach()).requires_grad_(learns and given[0].requires_grad)
        calls.append(Call(network, like, learns))

    handles = [network.register_forward_pre_hook(note) for network in _networks(nets)]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _networks(nets: nn.Module) -> Iterator[nn.Module]:
    """Those that a step calls: encoder, heads, a teacher. Queues have no parameters."""
    for part in nets.children():
        if isinstance(part, Nets | nn.ModuleList | nn.ModuleDict):  # which nobody calls
            yield from _networks(part)
        elif next(part.parameters(), None) is not None:
            yield part


def _again(calls: list[Call], batch: Batch) -> None:
    """The same calls, forward and backward."""
    with _autocast(batch):
        for network, given, learns in calls:
            with torch.set_grad_enabled(learns):
                made = network(given)
            if learns:
                wanted = [p for p in network.parameters() if p.requires_grad]
                wanted += [given] if given.requires_grad else []
                torch.autograd.grad(made.float().sum(), wanted, allow_unused=True)


def _autocast(batch: Batch) -> torch.autocast:
    return torch.autocast(batch.labels.device.type, torch.bfloat16)
