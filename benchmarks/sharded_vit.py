"""SimCLR with a vision transformer by FSDP2: bytes, memory and operations by formulas, which eight processes check.

python benchmarks/sharded_vit.py                     # eight processes on a CPU, about a minute

Each process takes a step of a small transformer with ``--strategy fsdp``'s own code. What its collectives receive, what
it holds, and the operations must be the formulas of `vit_formulas`, else the script fails; the peak of memory is given
beside its formula. Then the formulas count larger ones on 64 GPUs. Rates are assumptions, and no GPU has run it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import timm
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
import tyro
from lightning_fabric import Fabric
from many_ranks import peak_bytes
from measuring import Claim, Table, keep
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from vit_formulas import FLOAT, HALF, Sharded, ViT, gathers, head_shapes, numbers

from likewise.data.batch import Batch, Pixels
from likewise.data.images import InMemoryImages
from likewise.data.loader import Loader
from likewise.encoders.from_timm import TimmEncoder
from likewise.methods import Recipe
from likewise.methods.simclr import SimCLR
from likewise.training import LoopSettings
from likewise.training.activation_checkpointing import activation_checkpointing
from likewise.training.batch_norm.over_ranks import synchronise_batch_norm
from likewise.training.fully_sharded import own_part, sharding_strategy
from likewise.training.train_step import TrainStep

SMALL = ViT("", width=64, depth=4, heads=2, hidden=256, patch=8, side=32)
"""What the processes train."""
HEAD = 64, 32
"""Widths of its head."""
IMAGES, MICROBATCHES = 8, 4
"""of each process in a step, and how many parts they are cut into"""

LARGE = (
    ViT("vit_large_patch16_224", 1024, 24, 16, 4096, 16),
    ViT("vit_huge_patch14_224", 1280, 32, 16, 5120, 14),
    ViT("vit_giant_patch14_224", 1408, 40, 16, 6144, 14),
)
BATCH, VIEWS, DIM = 65_536, 2, 128
EPOCHS, IMAGENET = 100, 1_281_167
PEAK, UTILISATION, LINK = 989e12, 0.4, 50e9
"""Operations a second of an H100 in bfloat16, the assumed share of them, and bytes a second of a link for each GPU."""
KERNELS = 480e12
"""Operations a second of the loss's kernels, as measured on one H200."""
ROOM = 40e9
"""Bytes of activations that a GPU of 80 GB is given."""


@dataclass(frozen=True)
class Settings:
    """Over how many processes, and on how many GPUs."""

    ranks: int = 8
    """processes that check the formulas"""
    gpus: int = 64
    """of the plan"""


class Case(NamedTuple):
    """How the small transformer is trained."""

    precision: str
    microbatches: int
    checkpointed: bool = False
    """whether blocks are computed again in the backward pass"""


CASES = (
    Case("32-true", 1),
    Case("bf16-mixed", 1),
    Case("32-true", MICROBATCHES),
    Case("32-true", 1, checkpointed=True),
    Case("bf16-mixed", 1, checkpointed=True),
    Case("32-true", MICROBATCHES, checkpointed=True),
)


class Counted(NamedTuple):
    """Of one process, in a step."""

    gathered: int
    """bytes received of weights"""
    scattered: int
    """bytes received of gradients"""
    held: int
    """bytes of weights, gradients and optimiser state after the step"""
    peak: int
    """bytes at most beyond the weights and the optimiser's state"""


@contextmanager
def counted_collectives() -> Iterator[dict[str, int]]:
    """While the context is open, the bytes that FSDP2's collectives of this process receive are added up."""
    received = {"gathered": 0, "scattered": 0}
    names = {
        "gathered": next(
            n for n in ("all_gather_single", "all_gather_into_tensor") if hasattr(dist, n)
        ),
        "scattered": next(
            n for n in ("reduce_scatter_single", "reduce_scatter_tensor") if hasattr(dist, n)
        ),
    }
    before = {kind: getattr(dist, name) for kind, name in names.items()}

    def counting(kind: str) -> Callable[..., Any]:
        def count(*tensors: torch.Tensor, **named: Any) -> Any:
            given = (*tensors, named.get("output"), named.get("input"))
            whole = max(each.nbytes for each in given if each is not None)
            received[kind] += whole // dist.get_world_size() * (dist.get_world_size() - 1)
            return before[kind](*tensors, **named)

        return count

    for kind, name in names.items():
        setattr(dist, name, counting(kind))
    try:
        yield received
    finally:
        for kind, name in names.items():
            setattr(dist, name, before[kind])


def small_step(case: Case, ranks: int) -> tuple[TrainStep, Batch]:
    """The step of a run with ``--strategy fsdp``, and a batch."""
    strategy = sharding_strategy(ranks, case.precision)
    fabric = Fabric(accelerator="cpu", strategy=strategy, devices=ranks, precision=case.precision)  # type: ignore[arg-type]
    fabric.launch()
    torch.manual_seed(0)
    method = SimCLR(hidden=HEAD[0], dim=HEAD[1])
    nets = method.build(TimmEncoder(network_of(SMALL), "vit", (0.5,) * 3, (0.5,) * 3), 1)
    synchronise_batch_norm(nets)
    count = ranks * IMAGES
    pixels = torch.randint(0, 256, (count, 3, SMALL.side, SMALL.side), dtype=torch.uint8)
    images, labels = InMemoryImages(Pixels(pixels, torch.ones(count))), torch.zeros(count).long()
    loader = Loader(images, labels, count, seed=0, rank=fabric.global_rank, world_size=ranks)
    microbatch = None if case.microbatches == 1 else IMAGES // case.microbatches
    plan = LoopSettings(steps=9, microbatch=microbatch)
    return TrainStep(fabric, method, nets, loader, Recipe("adamw", 1e-3), plan), loader.batch(0)


def network_of(size: ViT) -> VisionTransformer:
    """A transformer of a size, as timm builds it."""
    return VisionTransformer(
        size.side,
        size.patch,
        num_classes=0,
        embed_dim=size.width,
        depth=size.depth,
        num_heads=size.heads,
        mlp_ratio=size.hidden / size.width,
    )


def held_bytes(step: TrainStep) -> int:
    """Of this process's parts of weights, gradients and the optimiser's state; counts of steps are left out."""
    held = 0
    for parameter in step.nets.parameters():
        state = step.optimizer.state[parameter].values()
        assert parameter.grad is not None
        for each in (parameter, parameter.grad, *state):
            held += own_part(each).nbytes if each.dim() else 0
    return held


def count_case(case: Case, ranks: int) -> Counted:
    """What one process counts."""
    step, batch = small_step(case, ranks)
    with activation_checkpointing(step.nets) if case.checkpointed else nullcontext():
        step(batch)  # the optimiser makes its state
        with counted_collectives() as received:
            step(batch)
        held = held_bytes(step)
        step.optimizer.zero_grad(set_to_none=True)
        return Counted(**received, held=held, peak=peak_bytes(lambda: step(batch)))


def one_of(rank: int, settings: Settings, port: int, results: Any) -> None:
    """What one process does."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"NODE_RANK": "0", "LOCAL_RANK": str(rank)}
    results[rank] = [count_case(case, settings.ranks) for case in CASES]
    dist.destroy_process_group()


def by_formula(case: Case, ranks: int) -> Counted:
    """The same by formulas; the peak has activations and gradients, as of one block and microbatch, and weights."""
    gathered = HALF if case.precision == "bf16-mixed" else FLOAT
    sharded = Sharded(SMALL, head_shapes(SMALL.width, *HEAD), ranks, gathered, case.microbatches)
    views = VIEWS * IMAGES // case.microbatches
    of_view = SMALL.activations(gathered, case.checkpointed) + SMALL.hidden_gradients(gathered)
    gradients = sharded.sent_gradients + max(sharded.weights, sharded.whole_gradients)
    peak = views * of_view + sharded.gathered_weights + gradients
    return Counted(sharded.gather_received, sharded.scatter_received, 4 * sharded.weights, peak)


def check_table(settings: Settings, found: list[list[Counted]]) -> Table:
    """Counted beside the formulas.

    Raises:
        AssertionError: bytes that arrive, or are held, are not those of the formula.
    """
    columns = (
        "precision",
        "microbatches",
        "checkpointing",
        "MB of weights",
        "MB of gradients",
        "MB held",
        "peak MB",
        "peak by formula",
    )
    size = f"{SMALL.depth} blocks of {SMALL.width}, {SMALL.parameters:,} parameters"
    table = Table(f"{settings.ranks} processes, a ViT of {size}, SimCLR with AdamW", columns)
    for at, case in enumerate(CASES):
        wanted, counts = by_formula(case, settings.ranks), [of_rank[at] for of_rank in found]
        for counted in counts:
            assert counted[:2] == wanted[:2], (case, counted, wanted)
        # The first process alone has the class token and the positions, whose first dimension is 1.
        assert counts[0].held == wanted.held == max(counted.held for counted in counts), counts
        peak = max(counted.peak for counted in counts)
        numbers = (f"{number / 1e6:.3f}" for number in (*wanted[:3], peak, wanted.peak))
        checkpointing = "yes" if case.checkpointed else "no"
        table.rows.append((case.precision, str(case.microbatches), checkpointing, *numbers))
    table.notes.append(
        "Bytes of weights and gradients that a process receives, and bytes of weights, gradients and AdamW's state "
        "that the first one holds, equal the formulas."
    )
    return table


def network_table() -> Table:
    """Parameters, operations and activations of the transformers.

    Raises:
        AssertionError: what was counted is not the formula.
    """
    columns = (
        "ViT",
        "parameters",
        "operations of an image",
        "with checkpointing",
        "kept by an image",
        "in bfloat16",
        "in bfloat16 with checkpointing",
    )
    table = Table("One image forward and backward, by formulas", columns)
    check_small_network()
    for size in LARGE:
        with torch.device("meta"):
            network = timm.create_model(size.name, num_classes=0)
        assert sum(each.numel() for each in network.parameters()) == size.parameters
        operations = (size.step_operations(), size.step_operations(checkpointed=True))
        kept = (size.activations(FLOAT), size.activations(HALF), size.activations(HALF, True))
        operation_columns = (f"{each / 1e12:.3f} T" for each in operations)
        kept_columns = (f"{each / 1e6:.1f} MB" for each in kept)
        table.rows.append((size.name, f"{size.parameters:,}", *operation_columns, *kept_columns))
    table.notes += [
        "Checkpointing is `--activation-checkpointing`: an image keeps the inputs of all blocks, and all of one block.",
        "Parameters are those that timm counts. Of the small ViT, operations and bytes in float32 equal the formulas.",
    ]
    return table


def check_small_network() -> None:
    """Count the small transformer.

    Raises:
        AssertionError: what was counted is not the formula.
    """
    assert counted_operations(network_of(SMALL)) == SMALL.step_operations()
    assert kept_bytes(network_of(SMALL)) == SMALL.activations(FLOAT)
    again = TimmEncoder(network_of(SMALL), "vit", (0.5,) * 3, (0.5,) * 3)
    with activation_checkpointing(again):
        assert counted_operations(again.network) == SMALL.step_operations(checkpointed=True)
        inputs = SMALL.block_inputs + SMALL.other_activations(FLOAT)
        assert kept_bytes(again.network) == inputs


def counted_operations(network: nn.Module) -> int:
    """Of one image forward and backward; attention that computes its scores is counted."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(torch.rand(1, 3, SMALL.side, SMALL.side)).sum().backward()
    return counter.get_total_flops()


def kept_bytes(network: nn.Module) -> float:
    """That an image keeps from the forward pass for the backward pass in float32, weights left out."""
    images = 16
    kept = {each.untyped_storage().data_ptr(): 0 for each in network.parameters()}

    def keep_one(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep_one, lambda tensor: tensor):
        made = network(torch.rand(images, 3, SMALL.side, SMALL.side))
    del made
    return sum(kept.values()) / images


@dataclass(frozen=True)
class Plan:
    """A batch on the GPUs, of one GPU and step."""

    size: ViT
    gpus: int
    checkpointed: bool

    @property
    def images(self) -> int:
        """Of a GPU."""
        return BATCH // self.gpus

    @property
    def microbatch(self) -> int:
        """Images that fit at a time."""
        images = self.images
        while self.activations(images) > ROOM:
            images //= 2
        return images

    def activations(self, images: int) -> int:
        """Bytes at most."""
        return VIEWS * images * self.size.activations(HALF, self.checkpointed)

    @property
    def sharded(self) -> Sharded:
        """What FSDP2 makes of it."""
        head = head_shapes(self.size.width, self.size.width, DIM)
        return Sharded(self.size, head, self.gpus, HALF, self.images // self.microbatch)

    @property
    def operations(self) -> int:
        """Of the network."""
        of_image = self.size.step_operations(self.images // self.microbatch, self.checkpointed)
        return VIEWS * self.images * of_image

    @property
    def seconds(self) -> float:
        """Of these operations."""
        return self.operations / (PEAK * UTILISATION)


def plan_table(size: ViT, gpus: int) -> Table:
    """A batch on the GPUs: bytes, operations and seconds, each of one GPU and step."""
    plans = [Plan(size, gpus, checkpointed) for checkpointed in (False, True)]
    table = Table(
        f"{size.name}: {BATCH:,} images on {gpus} GPUs, of one GPU and step",
        ("what", "count", "seconds", "with checkpointing", "seconds"),
    )
    for both in zip(*map(plan_rows, plans), strict=True):
        (what, *plain), (_, *checkpointed) = both
        table.rows.append((what, *plain, *checkpointed))
    hours = [f"{plan.seconds * EPOCHS * IMAGENET / BATCH / 3600:.1f}" for plan in plans]
    table.notes.append(
        f"{EPOCHS} epochs of ImageNet's {IMAGENET:,} images take {hours[0]} hours of the network's operations, and "
        f"{hours[1]} with checkpointing."
    )
    return table


def plan_rows(plan: Plan) -> list[tuple[str, str, str]]:
    """What is counted, the count, and the seconds that it takes."""
    sharded, microbatch = plan.sharded, plan.microbatch
    rows, others = BATCH * VIEWS, (plan.gpus - 1) / plan.gpus
    parameters = plan.size.parameters + numbers(sharded.head)
    all_reduced = 2 * FLOAT * plan.size.parameters * others
    held = {
        "weights, gradients, AdamW's state": 4 * sharded.weights,
        "the same by DDP": 4 * FLOAT * parameters,
        "weights that are gathered at a time": sharded.gathered_weights,
        "gradients until the last microbatch": sharded.whole_gradients,
        f"activations of {plan.images:,} images": plan.activations(plan.images),
        "activations of a microbatch": plan.activations(microbatch),
        "rows of the loss": 5 * FLOAT * rows * DIM,
    }
    received = {
        "all-gathers of weights": sharded.gather_received,
        "reduce-scatter of gradients": sharded.scatter_received,
        "all-reduce of gradients, which DDP has instead": all_reduced,
        "rows of the loss, and their gradient": 2 * FLOAT * rows * DIM * others,
    }
    loss = 6 * rows**2 * DIM / plan.gpus
    made = [("images of a microbatch", f"{microbatch:,}", "")]
    made += [(what, f"{count / 1e9:.2f} GB", "") for what, count in held.items()]
    made.append(("all-gathers of weights", f"{gathers(sharded.microbatches)} times", ""))
    made += [
        (f"receives: {what}", f"{count / 1e9:.2f} GB", f"{count / LINK:.3f}")
        for what, count in received.items()
    ]
    made.append(
        ("operations of the network", f"{plan.operations / 1e12:,.0f} T", f"{plan.seconds:.2f}")
    )
    made.append(
        ("operations of its share of the loss", f"{loss / 1e12:.2f} T", f"{loss / KERNELS:.4f}")
    )
    return made


def main(settings: Settings) -> None:
    """Start the processes, compare, and write the result."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = multiprocessing.get_context("forkserver")
    started.set_forkserver_preload(["sharded_vit"])
    with started.Manager() as manager:
        results = manager.dict()
        arguments = (settings, port, results)
        multiprocessing.start_processes(  # type: ignore[attr-defined]
            one_of, arguments, nprocs=settings.ranks, start_method="forkserver"
        )
        found = [results[rank] for rank in range(settings.ranks)]
    tables = [check_table(settings, found), network_table()]
    tables += [plan_table(size, settings.gpus) for size in LARGE]
    keep(
        "sharded_vit",
        "A vision transformer by FSDP2",
        tables,
        claims(settings, found),
        processes=settings.ranks,
    )


def claims(settings: Settings, found: list[list[Counted]]) -> list[Claim]:
    """That the peak of memory is near its formula."""
    made = []
    for at, case in enumerate(CASES):
        peak, wanted = (
            max(of_rank[at].peak for of_rank in found),
            by_formula(case, settings.ranks).peak,
        )
        checkpointed = ", checkpointed" if case.checkpointed else ""
        what = f"{case.precision}, {case.microbatches} microbatches{checkpointed}"
        name = f"{what}: peak of memory within 1.25 of the formula"
        made.append(Claim(name, 1.25, max(peak / wanted, wanted / peak), at_least=False))
    return made


if __name__ == "__main__":
    main(tyro.cli(Settings))
