"""What each of several processes does for a loss: peak memory, matrix products and bytes on the wire, beside formulas.

python benchmarks/many_ranks.py                            # eight processes on a CPU, about a minute
python benchmarks/many_ranks.py --ranks 4 --images 256

Everything is counted, not timed: the same on any machine. "Whole" is what each process did before rows were divided
among them: all rows of the loss. The counted operations and bytes must equal the formulas, else the script fails.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import timm
import torch
import torch.multiprocessing as multiprocessing
import tyro
from measuring import Claim, Table, keep
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from likewise import collectives, losses
from likewise.losses.log_sums import cached_tile, cpu_tiles
from likewise.methods.nets import batch_norms
from likewise.training.batch_norm.over_ranks import synchronise_batch_norm

FLOAT = 4
"""bytes"""


@dataclass(frozen=True)
class Settings:
    """How large, and over how many processes."""

    ranks: int = 8
    """processes"""
    images: int = 64
    """of each process"""
    tiled_images: int = 256
    """of each process where the scores are not kept for the backward pass"""
    dim: int = 128
    """width of the embedding"""


class Counted(NamedTuple):
    """Of one process, for forward and backward of a loss."""

    operations: int
    """multiplications and additions of matrix products"""
    received: int
    """bytes, by rings of all-gathers and reduce-scatters; as many are sent"""
    peak: int
    """bytes that were allocated at most, beyond what was there"""


class Products(TorchDispatchMode):
    """Counts the operations of matrix products."""

    operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation as it is, and count it."""
        made = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in ("mm", "addmm", "addmm_"):
            self.operations += 2 * made.numel() * args[-2].shape[-1]
        return made


@contextmanager
def counted_traffic() -> Iterator[list[int]]:
    """While the context is open, the bytes that each collective of this process receives are appended to the list."""
    received: list[int] = []
    gather, scatter = collectives._all_gather, collectives._reduce_scatter

    def count(call: Callable[..., Any], whole: int) -> Callable[..., Any]:
        def counting(*tensors: Tensor) -> Any:
            ranks, everything = torch.distributed.get_world_size(), tensors[whole]
            received.append(everything.nbytes // ranks * (ranks - 1))
            return call(*tensors)

        return counting

    collectives._all_gather, collectives._reduce_scatter = count(gather, 0), count(scatter, 1)
    try:
        yield received
    finally:
        collectives._all_gather, collectives._reduce_scatter = gather, scatter


def peak_bytes(work: Callable[[], object]) -> int:
    """The most that was allocated at a time."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        work()
    events = profile.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = [event for event in events if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        held += event.nbytes()  # type: ignore[attr-defined]
        most = max(most, held)
    return most


def nt_xent(first: Tensor, second: Tensor) -> Tensor:
    """SimCLR's loss of all ranks' rows."""
    return losses.nt_xent(collectives.gather(first), collectives.gather(second), 0.1)


def sup_con(first: Tensor, second: Tensor) -> Tensor:
    """SupCon's loss of all ranks' rows, ten classes."""
    labels = torch.arange(len(first)) % 10
    both = torch.stack([collectives.gather(first), collectives.gather(second)], dim=1)
    return losses.sup_con(both, collectives.gather(labels), 0.1)


def info_nce(first: Tensor, second: Tensor) -> Tensor:
    """CLIP's loss of all ranks' pairs."""
    first, second = (torch.nn.functional.normalize(rows) for rows in (first, second))
    return losses.clip_loss(collectives.gather(first), collectives.gather(second), 10.0)


LOSSES = {"NT-Xent": nt_xent, "SupCon": sup_con, "CLIP": info_nce}


def measure(
    loss: Callable[[Tensor, Tensor], Tensor], images: int, dim: int, sharded: bool
) -> Counted:
    """Forward and backward of a loss in this process."""
    generator = torch.Generator().manual_seed(collectives.rank())
    first, second = (
        torch.randn(images, dim, generator=generator, requires_grad=True) for _ in range(2)
    )

    def work() -> None:
        with collectives.sharded_rows() if sharded else nullcontext():
            value = loss(first, second)
        value.backward()
        first.grad = second.grad = None

    work()  # rooms for tiles are made once
    peak = peak_bytes(work)
    with counted_traffic() as received, Products() as products:
        work()
    return Counted(products.operations, sum(received), peak)


class NetworkTraffic(NamedTuple):
    """Of one process, for forward and backward of a network with batch normalisation."""

    statistics: int
    """bytes received: moments of each layer, and their gradients"""
    gradient: int
    """bytes that the all-reduce of the gradient was given"""


def network_traffic() -> NetworkTraffic:
    """Forward and backward of ResNet-18 on four images of 32 pixels, by data parallelism."""
    network = timm.create_model("resnet18", num_classes=0)
    parallel = DistributedDataParallel(synchronise_batch_norm(network))
    buckets: list[int] = []

    # PyTorch refuses annotations that are text.
    def reduce(_, bucket):  # type: ignore[no-untyped-def]
        buckets.append(bucket.buffer().nbytes)
        return allreduce_hook(None, bucket)  # type: ignore[arg-type]

    parallel.register_comm_hook(None, reduce)
    with counted_traffic() as received:
        parallel(torch.rand(4, 3, 32, 32)).square().mean().backward()
    return NetworkTraffic(sum(received), sum(buckets))


def network_table(settings: Settings, found: list[NetworkTraffic]) -> Table:
    """Counted beside the formula.

    Raises:
        AssertionError: what was counted is not the formula.
    """
    network = timm.create_model("resnet18", num_classes=0)
    channels = sum(int(module.num_features) for module in batch_norms(network))  # type: ignore[arg-type]
    parameters = sum(parameter.numel() for parameter in network.parameters())
    statistics, others = 2 * 2 * FLOAT * channels * (settings.ranks - 1), settings.ranks - 1
    for traffic in found:
        assert traffic == NetworkTraffic(statistics, FLOAT * parameters), traffic
    table = Table(
        f"{settings.ranks} processes, ResNet-18: bytes that a process receives",
        ("what", "MB", "formula"),
    )
    ring = 2 * FLOAT * parameters * others / settings.ranks
    table.rows.append(
        (
            "moments of batch normalisation and their gradient",
            f"{statistics / 1e6:.3f}",
            "16 C (W - 1)",
        )
    )
    table.rows.append(
        ("gradient of the parameters, by a ring all-reduce", f"{ring / 1e6:.1f}", "8 P (W - 1) / W")
    )
    table.notes.append(
        f"C = {channels:,} normalised channels and P = {parameters:,} parameters were counted."
    )
    return table


def one_of(rank: int, settings: Settings, port: int, results: Any) -> None:
    """What one process counts."""
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", address, rank=rank, world_size=settings.ranks)
    found = {}
    for name, loss in LOSSES.items():
        for sharded in (False, True):
            cached_tile.MOST_PAIRS = 2**40
            found[name, "kept", sharded] = measure(loss, settings.images, settings.dim, sharded)
            cached_tile.MOST_PAIRS = 0
            found[name, "tiles", sharded] = measure(
                loss, settings.tiled_images, settings.dim, sharded
            )
    results[rank] = found, network_traffic()
    torch.distributed.destroy_process_group()


def received_by_formula(name: str, images: int, settings: Settings, sharded: bool) -> int:
    """Bytes that a process receives: rows and their gradient, labels, and where rows are divided a number a row."""
    others, rows = settings.ranks - 1, 2 * images
    # all-gather of the rows, reduce-scatter of their gradient
    total = 2 * others * rows * settings.dim * FLOAT
    if name == "SupCon":
        total += others * images * 8
    if sharded:
        total += others * rows * FLOAT
    return total


def operations_by_formula(
    name: str, way: str, images: int, settings: Settings, sharded: bool
) -> int:
    """Operations of matrix products: scores, again where they are not kept, and gradients of rows and other keys."""
    count, divided = settings.ranks * images, settings.ranks if sharded else 1
    if name == "CLIP":
        each_way = 6 if way == "kept" else 8  # images among texts, and texts among images
        return 2 * each_way * count**2 * settings.dim // divided
    rows = 2 * count
    if way == "tiles" and not sharded:
        # Pairs in tiles on and above the diagonal, times 2.
        twice = rows * (rows + cpu_tiles.TILE)
        return 2 * settings.dim * twice + 2 * settings.dim * rows**2
    return (4 if way == "kept" else 6) * rows**2 * settings.dim // divided


def scores_by_formula(name: str, way: str, images: int, settings: Settings, sharded: bool) -> int:
    """Bytes of the scores that wait for the backward pass."""
    count, divided = settings.ranks * images, settings.ranks if sharded else 1
    pairs = 2 * count**2 if name == "CLIP" else 4 * count**2
    return FLOAT * pairs // divided if way == "kept" else 0


def table_of(
    way: str, images: int, settings: Settings, found: dict[tuple[str, str, bool], list[Counted]]
) -> Table:
    """One table: each loss whole and divided, counted beside the formula.

    Raises:
        AssertionError: what was counted is not the formula.
    """
    columns = (
        "loss",
        "each process computes",
        "operations",
        "MB received",
        "MB of scores",
        "peak MB",
        "peak less scores",
    )
    table = Table(TITLES[way].format(rows=2 * settings.ranks * images, **vars(settings)), columns)
    rows_bytes = 2 * settings.ranks * images * settings.dim * FLOAT
    for (name, of_way, sharded), counts in found.items():
        if of_way != way:
            continue
        arguments = name, way, images, settings, sharded
        operations = operations_by_formula(*arguments)
        received = received_by_formula(name, images, settings, sharded)
        scores = scores_by_formula(*arguments)
        for counted in counts:  # of each process
            assert (counted.operations, counted.received) == (operations, received), (
                arguments,
                counted,
            )
            assert scores <= counted.peak <= scores + MOST_COPIES * rows_bytes, (arguments, counted)
        peak = max(counted.peak for counted in counts)
        copies = f"{(peak - scores) / rows_bytes:.1f} N D"
        computes = "its share of the rows" if sharded else "all rows"
        numbers = (f"{number / 1e6:,.2f}" for number in (received, scores, peak))
        table.rows.append((name, computes, f"{operations / 1e9:.3f} G", *numbers, copies))
    table.notes.append(
        "Operations and bytes received equal the formulas in this script; as many bytes are sent."
    )
    return table


TITLES = {
    "kept": "{ranks} processes, N = {rows:,} rows, D = {dim}: scores are kept for the backward pass",
    "tiles": "{ranks} processes, N = {rows:,} rows, D = {dim}: scores are made again, tile by tile",
}
MOST_COPIES = 7
"""Of N x D numbers that are held at a time: gathered rows, unit rows, their gradients."""


def main(settings: Settings) -> None:
    """Start the processes, compare, and write the result."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = multiprocessing.get_context("forkserver")
    started.set_forkserver_preload(["likewise.losses", "measuring"])
    with started.Manager() as manager:
        results = manager.dict()
        arguments = (settings, port, results)
        multiprocessing.start_processes(  # type: ignore[attr-defined]
            one_of, arguments, nprocs=settings.ranks, start_method="forkserver"
        )
        by_rank = [results[rank] for rank in range(settings.ranks)]
    found = {key: [of_rank[key] for of_rank, _ in by_rank] for key in by_rank[0][0]}
    tables = [
        table_of("kept", settings.images, settings, found),
        table_of("tiles", settings.tiled_images, settings, found),
        network_table(settings, [traffic for _, traffic in by_rank]),
    ]
    keep(
        "many_ranks",
        "A loss over many processes",
        tables,
        claims(settings, found),
        processes=settings.ranks,
    )


def claims(settings: Settings, found: dict[tuple[str, str, bool], list[Counted]]) -> list[Claim]:
    """That a process does W-th of the work."""
    made = []
    for name in LOSSES:
        whole, own = (found[name, "kept", sharded][0] for sharded in (False, True))
        claim = f"{name}: operations of a process fall by the number of processes"
        made.append(Claim(claim, settings.ranks, whole.operations / own.operations))
    return made


if __name__ == "__main__":
    main(tyro.cli(Settings))
