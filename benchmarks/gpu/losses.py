"""Losses, forward and backward: as they are called, as a CUDA graph replays them, and how many kernels they launch.

Beside the dense form by PyTorch's operations, eager and through `torch.compile`.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from gpu.section import Clock, OutOfTime, Result, Section, graph_milliseconds, milliseconds
from likewise import losses
from likewise.losses import tiles_dense
from likewise.losses.float32 import unit

SIZES = (1024, 8192, 16384, 65536, 4096, 256, 2048, 32768)
"""Rows N of both views together, in the order of their turns."""
DENSE_UP_TO = 16384
WIDTH, TEMPERATURE = 128, 0.2

Loss = Callable[..., Tensor]


def dense_nt_xent(first: Tensor, second: Tensor) -> Tensor:
    """NT-Xent as it is mostly written: all scores at once, the softmax in float32."""
    z = F.normalize(torch.cat([first, second]).float(), dim=1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    scores = (z @ z.T / TEMPERATURE).masked_fill(itself, -torch.inf)
    return F.cross_entropy(scores, torch.arange(len(z), device=z.device).roll(len(first)))


def our_nt_xent(first: Tensor, second: Tensor) -> Tensor:
    """The library's."""
    return losses.nt_xent(first, second, TEMPERATURE)


def called(loss: Loss, inputs: list[Tensor]) -> Callable[[], object]:
    """Forward and backward of the inputs that are to learn."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]

    def work() -> object:
        return torch.autograd.grad(loss(*leaves), leaves)

    return work


def launches(work: Callable[[], object]) -> int:
    """Kernels of one call."""
    work()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        work()
        torch.cuda.synchronize()
    return sum(str(event.device_type).endswith("CUDA") for event in profiler.events() or ())


def measured(work: Callable[[], object], repeats: int = 20) -> Result:
    """Milliseconds of a call and of a replay, and kernels."""
    found: Result = {}
    try:
        found["ms"] = round(milliseconds(work, repeats), 4)
        found["kernels"] = launches(work)
        found["ms in a graph"] = round(graph_milliseconds(work), 4)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        found["ended"] = "does not fit"
    except RuntimeError as error:
        found["ended"] = str(error)[:300]
    return found


def views(count: int, device: torch.device, dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
    """Two views' projections, [N / 2, D] each."""
    generator = torch.Generator(device).manual_seed(0)
    drawn = torch.randn(2, count // 2, WIDTH, device=device, generator=generator)
    drawn[1] += drawn[0]
    return list(drawn.to(dtype))


def by_size(device: torch.device, clock: Clock) -> None:
    """NT-Xent at every size."""
    for count in SIZES:
        clock.check()
        found: Result = {}
        clock.found[f"nt_xent N = {count}"] = found
        inputs = views(count, device)
        found["likewise"] = measured(called(our_nt_xent, inputs))
        if count <= 8192:
            found["likewise, scores kept"] = with_kept_scores(inputs)
        if count <= DENSE_UP_TO:
            found["dense"] = measured(called(dense_nt_xent, inputs), 7)
            torch.compiler.reset()
            compiled = torch.compile(dense_nt_xent, dynamic=False)
            found["dense, compiled"] = measured(called(compiled, inputs), 7)
        if count <= 8192:
            found["relative error"] = errors(inputs)
        print(f"losses, N = {count}: {json.dumps(found)}", flush=True)


def with_kept_scores(inputs: list[Tensor]) -> Result:
    """The form that keeps the matrix of scores, at a size at which it may not be chosen."""
    before = tiles_dense.MOST_PAIRS
    tiles_dense.MOST_PAIRS = 2**40
    try:
        return measured(called(our_nt_xent, inputs))
    finally:
        tiles_dense.MOST_PAIRS = before


def errors(inputs: list[Tensor]) -> Result:
    """Of loss and gradient against the dense form in float64."""
    exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
    wide = torch.cat(exact)
    z = F.normalize(wide, dim=1)
    scores = (z @ z.T / TEMPERATURE).fill_diagonal_(-torch.inf)
    right = F.cross_entropy(scores, torch.arange(len(z), device=z.device).roll(len(z) // 2))
    wanted = torch.cat(torch.autograd.grad(right, exact))
    leaves = [tensor.detach().float().requires_grad_() for tensor in inputs]
    value = our_nt_xent(*leaves)
    gradient = torch.cat(torch.autograd.grad(value, leaves)).double()
    return {
        "loss": float((value.detach().double() - right.detach()).abs() / right.detach()),
        "gradient": float((gradient - wanted).norm() / wanted.norm()),
    }


def others(device: torch.device, clock: Clock) -> None:
    """The other losses at the size of a batch of 512 images."""
    first, second = views(1024, device)
    labels = torch.arange(512, device=device) % 10
    queue = F.normalize(torch.randn(4096, WIDTH, device=device), dim=1)
    both = torch.stack([first, second], dim=1)
    cases: dict[str, tuple[Loss, list[Tensor]]] = {
        "sup_con": (lambda z: losses.sup_con(z, labels), [both]),
        "sup_con in": (lambda z: losses.sup_con(z, labels, kind="in"), [both]),
        "suncet": (lambda z: losses.suncet(z, labels), [first]),
        "queue_nce": (lambda q: losses.queue_nce(unit(q), unit(second), queue, TEMPERATURE), [first]),
        "similarity_distillation": (lambda q: losses.similarity_distillation(unit(q), unit(second), queue), [first]),
        "clip_loss": (lambda a, b: losses.clip_loss(unit(a), unit(b), 10.0), [first, second]),
    }
    for name, (loss, inputs) in cases.items():
        clock.check()
        clock.found[f"{name}, 512 images"] = found = measured(called(loss, inputs))
        print(f"losses, {name}: {json.dumps(found)}", flush=True)


def run(device: torch.device, clock: Clock) -> None:
    """The size of a usual batch first."""
    try:
        others(device, clock)
    except OutOfTime:
        raise
    except Exception as error:  # the sizes are still worth asking
        clock.found["others ended"] = repr(error)[:500]
    by_size(device, clock)


SECTION = Section(run, 80.0)
