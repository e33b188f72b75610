"""Losses, forward and backward: as they are called, as a CUDA graph replays them, and how many kernels they launch.

Beside the dense form by PyTorch's operations, eager and through `torch.compile`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from gpu.section import Clock, OutOfTime, Result, Section, graph_milliseconds, milliseconds
from likewise import losses
from likewise.losses.attraction_repulsion import terms_with_queue
from likewise.losses.float32 import unit
from likewise.losses.fused import against_keys, against_queue, gpu_sizes, row_passes

SIZES = (1024, 8192, 16384, 4096, 256, 2048)
"""Rows N of both views together, in the order of their turns; more are in `large_losses`."""
DENSE_UP_TO = 16384
CROSSED = (1024, 4096, 256, 2048, 8192, 512)
"""Rows at which keeping the scores is compared with making them again."""
CROSSED_WIDTHS = (128, 256, 64)
WIDE = 768
"""Columns of a large head."""
WIDTH, TEMPERATURE = 128, 0.2
PLACES = 49
"""Locations of an image, in its last map of 7 x 7."""
BAG = 16
"""Elements of a row's bag."""
VIEWS = 2
"""Of each image, for CACR with a queue."""

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


def views(count: int, device: torch.device, width: int = WIDTH) -> list[Tensor]:
    """Two views' projections, [N / 2, D] each."""
    generator = torch.Generator(device).manual_seed(0)
    drawn = torch.randn(2, count // 2, width, device=device, generator=generator)
    drawn[1] += drawn[0]
    return list(drawn.bfloat16())


def by_size(device: torch.device, clock: Clock) -> None:
    """NT-Xent at every size."""
    for count in SIZES:
        clock.check()
        inputs = views(count, device)
        found = {"likewise": measured(called(our_nt_xent, inputs))}
        if count <= 8192:
            found["relative error"] = errors(inputs)
        clock.found[of_size(count)] = found
        print(f"losses, N = {count}: {json.dumps(found)}", flush=True)


def dense_by_size(device: torch.device, clock: Clock) -> None:
    """The dense form at every size, eager where it fits well, and by `torch.compile`, which takes seconds each time."""
    for count in SIZES:
        clock.check()
        inputs, found = views(count, device), clock.found.setdefault(of_size(count), {})
        if count <= DENSE_UP_TO:
            found["dense"] = measured(called(dense_nt_xent, inputs), 7)
        torch.compiler.reset()
        compiled = torch.compile(dense_nt_xent, dynamic=False)
        found["dense, compiled"] = measured(called(compiled, inputs), 7)
        print(f"losses, N = {count}, dense: {json.dumps(found)}", flush=True)


def of_size(count: int) -> str:
    """The name of what was found."""
    return f"nt_xent N = {count}"


def crossover(device: torch.device, clock: Clock) -> None:
    """Up to how many rows keeping the scores takes less than making them again: `gpu_sizes.KEPT_ROWS`."""
    for width in CROSSED_WIDTHS:
        found: dict[int, Result] = {}
        clock.found[f"nt_xent in a graph, D = {width}"] = found
        for count in CROSSED:
            clock.check()
            inputs = views(count, device, width)
            found[count] = {
                "kept": by_form({width: count}, inputs),
                "made again": by_form({}, inputs),
            }
        up_to = kept_up_to(found)
        clock.found[f"KEPT_ROWS[{width}]"] = up_to
        print(f"losses, D = {width}: kept up to {up_to} rows; {json.dumps(found)}", flush=True)


def by_form(kept_rows: dict[int, int], inputs: list[Tensor]) -> float:
    """Milliseconds in a graph where scores are kept up to such sizes."""
    before = gpu_sizes.KEPT_ROWS
    gpu_sizes.KEPT_ROWS = kept_rows
    try:
        return round(graph_milliseconds(called(our_nt_xent, inputs)), 4)
    finally:
        gpu_sizes.KEPT_ROWS = before


def kept_up_to(found: dict[int, Result]) -> int:
    """The most rows up to which keeping never took longer; 0 if it did at the fewest."""
    most = 0
    for count in sorted(found):
        if found[count]["kept"] > found[count]["made again"]:
            break
        most = count
    return most


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


def dense_queue_nce(
    queries: Tensor, positives: Tensor, queue: Tensor, temperature: Tensor | float
) -> Tensor:
    """MoCo's loss as its authors wrote it: the positive beside all of the queue."""
    of_positive = (queries * positives).sum(dim=1, keepdim=True)
    scores = torch.cat([of_positive, queries @ queue.T], dim=1) / temperature
    return F.cross_entropy(
        scores, torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
    )


def dense_distillation(
    student: Tensor, teacher: Tensor, queue: Tensor, temperature: float = 0.02
) -> Tensor:
    """ISD's loss by two matrices of similarities."""
    targets = (teacher @ queue.T / temperature).softmax(dim=1)
    return F.kl_div(
        (student @ queue.T / temperature).log_softmax(dim=1), targets, reduction="batchmean"
    )


def dense_clip(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """CLIP's loss by one matrix of similarities."""
    scores = images @ texts.T * scale
    partner = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, partner) + F.cross_entropy(scores.T, partner)) / 2


def dense_soft(queries: Tensor, keys: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy against soft targets by one matrix of similarities."""
    scores = queries @ keys.T / TEMPERATURE
    return F.cross_entropy(scores, targets.to(scores))


class Case(NamedTuple):
    """A loss of rows that have any length."""

    ours: Loss
    dense: Loss
    """as it is mostly written, of float32 or float64"""
    inputs: list[Tensor]
    """that take a gradient"""


def cases(
    device: torch.device, images: int = 512, keys: int = 4096, width: int = WIDTH
) -> dict[str, Case]:
    """The other losses at the size of a batch."""
    drawn = torch.randn(
        2, images, width, device=device, generator=torch.Generator(device).manual_seed(0)
    )
    first, second = drawn[0].bfloat16(), (drawn[0] + drawn[1]).bfloat16()
    labels = torch.arange(images, device=device) % 10
    queue = F.normalize(torch.randn(keys, width, device=device), dim=1)
    scale = torch.tensor(10.0, device=device)
    both = torch.stack([first, second], dim=1)
    targets = torch.randn(images, images, device=device).softmax(dim=1)
    elements = second.repeat_interleave(BAG, dim=0)
    elements = elements + torch.randn_like(elements)

    def wide(rows: Tensor) -> Tensor:
        return F.normalize(rows if rows.dtype == torch.float64 else rows.float(), dim=1)

    def own(loss: Loss, rows: Tensor) -> Case:
        return Case(loss, loss, [rows])  # in float64 it is made of PyTorch's operations

    def out(a: Tensor, b: Tensor) -> Tensor:
        return losses.info_nce(unit(a), unit(b), labels, labels, TEMPERATURE)

    def within(a: Tensor, b: Tensor) -> Tensor:
        return losses.info_nce(unit(a), unit(b), labels, labels, TEMPERATURE, kind="in")

    def bags(a: Tensor, b: Tensor) -> Tensor:
        return losses.mil_nce(unit(a), unit(b).unflatten(0, (images, BAG)), TEMPERATURE)

    places = torch.randn(2, images * PLACES, width, device=device)
    keys_there = unit(places[1]).unflatten(0, (images, PLACES))
    matched = torch.rand(images, PLACES, PLACES, device=device) < 0.02

    def sets(q: Tensor) -> Tensor:
        here = unit(q).unflatten(0, (images, PLACES))
        return losses.set_similarity(
            here, keys_there.to(here), matched, queue.to(here), TEMPERATURE
        )

    in_views = images // VIEWS * VIEWS
    teacher = unit((second + drawn[0])[:in_views]).unflatten(0, (VIEWS, -1))

    def attracted(rows: Tensor) -> Tensor:
        views = unit(rows).unflatten(0, (VIEWS, -1))
        given = teacher.to(views), queue.to(views), 1.0, 2.0, True
        attraction, repulsion = terms_with_queue(views, *given)
        return attraction + repulsion

    def guessed(rows: Tensor) -> Tensor:
        support = unit(second.to(rows))
        return losses.soft_neighbours(unit(rows), support, labels, classes=10).square().sum()

    return {
        "queue_nce": Case(
            lambda q: losses.queue_nce(unit(q), unit(second), queue, TEMPERATURE),
            lambda q: dense_queue_nce(
                wide(q), wide(second).to(wide(q)), queue.to(wide(q)), TEMPERATURE
            ),
            [first],
        ),
        "similarity_distillation": Case(
            lambda q: losses.similarity_distillation(unit(q), unit(second), queue),
            lambda q: dense_distillation(wide(q), wide(second).to(wide(q)), queue.to(wide(q))),
            [first],
        ),
        "clip_loss": Case(
            lambda a, b, by: losses.clip_loss(unit(a), unit(b), by),
            lambda a, b, by: dense_clip(wide(a), wide(b), by),
            [first, second, scale],
        ),
        "soft_nce": Case(
            lambda a, b: losses.soft_nce(unit(a), unit(b), targets, TEMPERATURE),
            lambda a, b: dense_soft(wide(a), wide(b), targets),
            [first, second],
        ),
        "info_nce": Case(out, out, [first, second]),
        "info_nce in": Case(within, within, [first, second]),
        "mil_nce": Case(bags, bags, [first, elements]),
        "sup_con": own(lambda z: losses.sup_con(z, labels), both),
        "sup_con in": own(lambda z: losses.sup_con(z, labels, kind="in"), both),
        "suncet": own(lambda z: losses.suncet(z, labels), first),
        "cacr": own(losses.cacr, torch.stack([first, second, *drawn, drawn[0] - drawn[1]], dim=1)),
        "cacr, queue": own(attracted, first[:in_views]),
        "soft_neighbours": own(guessed, first),
        "set_similarity": own(sets, places[0].bfloat16()),
        "cosine_regression": own(lambda p: losses.cosine_regression(p, second.to(p)), first),
        "knowledge_distillation": own(
            lambda z: losses.knowledge_distillation(z, second.to(z), 4.0), first
        ),
    }


def checks(device: torch.device, clock: Clock) -> None:
    """Value and gradients against float64: round sizes, odd ones, and wide rows."""
    for images, keys, width in ((512, 4096, 128), (77, 1001, 72), (130, 300, WIDE)):
        for name, case in cases(device, images, keys, width).items():
            clock.check()
            clock.found[f"check {name}, {images} x {keys} x {width}"] = checked(case)
    print(
        f"losses, checks: {json.dumps({k: v for k, v in clock.found.items() if k.startswith('check')})}",
        flush=True,
    )


def checked(case: Case) -> Result:
    """Relative errors of float32 inputs."""
    exact = [tensor.detach().double().requires_grad_() for tensor in case.inputs]
    right = case.dense(*exact)
    wanted = torch.autograd.grad(right, exact)
    leaves = [tensor.detach().float().requires_grad_() for tensor in case.inputs]
    try:
        value = case.ours(*leaves)
        found = torch.autograd.grad(value, leaves)
    except Exception as error:  # the other losses are still worth asking
        return {"ended": repr(error)[:500]}
    return {
        "loss": float((value.detach().double() - right.detach()).abs() / right.detach().abs()),
        "gradients": [
            float((g.double() - w).norm() / w.norm()) for g, w in zip(found, wanted, strict=True)
        ],
    }


def others(device: torch.device, clock: Clock) -> None:
    """Times of the other losses at the size of a batch of 512 images, and of the first three beside a large queue."""
    for name, case in cases(device).items():
        clock.check()
        clock.found[f"{name}, 512 images"] = found = measured(called(case.ours, case.inputs))
        print(f"losses, {name}: {json.dumps(found)}", flush=True)
    for name in ("queue_nce", "similarity_distillation"):
        clock.check()
        case = cases(device, keys=65536)[name]
        found = {
            "likewise": measured(called(case.ours, case.inputs)),
            "dense": measured(called(case.dense, case.inputs)),
        }
        clock.found[f"{name}, 512 images, 65,536 keys"] = found
        print(f"losses, {name} of 65,536: {json.dumps(found)}", flush=True)


def wide_others(device: torch.device, clock: Clock) -> None:
    """Losses of wide rows, beside the dense forms."""
    wide = cases(device, images=1024, width=WIDE)
    for name in ("queue_nce", "clip_loss", "soft_nce", "sup_con"):
        clock.check()
        found = {"likewise": measured(called(wide[name].ours, wide[name].inputs))}
        if name != "sup_con":  # whose dense form is for float64
            found["dense"] = measured(called(wide[name].dense, wide[name].inputs))
        clock.found[f"{name}, 1,024 images, D = {WIDE}"] = found
        print(f"losses, {name}, D = {WIDE}: {json.dumps(found)}", flush=True)


def dense_others(device: torch.device, clock: Clock) -> None:
    """The dense forms of the losses that have one here, eager and compiled."""
    for name in ("queue_nce", "similarity_distillation", "clip_loss"):
        clock.check()
        case = cases(device)[name]
        found = {"dense": measured(called(case.dense, case.inputs))}
        torch.compiler.reset()
        found["dense, compiled"] = measured(
            called(torch.compile(case.dense, dynamic=False), case.inputs), 7
        )
        clock.found[f"{name}, 512 images, dense"] = found
        print(f"losses, {name}, dense: {json.dumps(found)}", flush=True)


def shares(device: torch.device, clock: Clock) -> None:
    """How many programs a processor should have where a batch is small: milliseconds in a graph."""
    before = row_passes.PROGRAMS
    try:
        for programs in (1, 2, 4, 8):
            row_passes.PROGRAMS = against_queue.PROGRAMS = against_keys.PROGRAMS = programs
            clock.check()
            found = {
                f"nt_xent {n}": graph_milliseconds(called(our_nt_xent, views(n, device)))
                for n in (1024, 4096)
            }
            case = cases(device)["queue_nce"]
            found["queue_nce"] = graph_milliseconds(called(case.ours, case.inputs))
            clock.found[f"{programs} programs a processor"] = found
            print(f"losses, {programs} programs: {json.dumps(found)}", flush=True)
    finally:
        row_passes.PROGRAMS = against_queue.PROGRAMS = against_keys.PROGRAMS = before


def run(device: torch.device, clock: Clock) -> None:
    """What is right first, then ours, then what an aim compares it with, and last what helps to choose sizes."""
    parts = (checks, by_size, others, dense_by_size, crossover, shares, wide_others, dense_others)
    for part in parts:
        try:
            part(device, clock)
        except OutOfTime:
            raise
        except Exception as error:  # the other parts are still worth asking
            clock.found[f"{part.__name__} ended"] = repr(error)[:500]


SECTION = Section(run, 44.0)
