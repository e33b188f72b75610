"""Contrastive losses, forward and backward on the CPU: likewise against its peers and against the machine's floor.

The floor is the arithmetic of the tiling: 4 N^2 D operations at the speed that this machine multiplies a tile with, and
N^2 exponentials at its speed. `python benchmarks/losses.py`
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro
from measuring import Claim, Clock, Table, in_turns, keep
from torch import Tensor

from likewise import losses
from likewise.losses import dense
from likewise.losses.input_checks import Kind
from likewise.training.precision import cpu_multiplies_bfloat16

TEMPERATURE = 0.1
TILES = 20
"""by which the machine's speeds are measured at a time"""
Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Settings:
    """How long to measure, and at which sizes."""

    sizes: tuple[int, ...] = (512, 2048, 8192)
    """rows of the batch: views, not images"""
    dim: int = 128
    """width of a row"""
    classes: int = 64
    """classes among the rows, for the supervised losses"""
    threads: int = 1
    """threads of PyTorch, for everybody"""
    clock: Clock = "processor"
    """seconds that the process worked, which other processes hardly change, or seconds that went by"""
    memory_size: int = 32768
    """rows at which peak memory is measured; 0: not at all"""
    only: str = ""
    """for the script's own use: the one loss, of that many rows, whose peak memory this process measures"""


def plain_sup_con(z: Tensor, labels: Tensor) -> Tensor:
    """The formula of Khosla et al. 2020 in the steps of the authors' code: whole matrices, one after the other."""
    same_class = (labels[:, None] == labels).float()
    logits = z @ z.T / TEMPERATURE
    logits = logits - logits.max(dim=1, keepdim=True).values.detach()
    others = 1 - torch.eye(len(z))
    same_class = same_class * others
    log_prob = logits - (logits.exp() * others).sum(dim=1, keepdim=True).log()
    return -((same_class * log_prob).sum(dim=1) / same_class.sum(dim=1)).mean()


def plain_suncet(z: Tensor, labels: Tensor) -> Tensor:
    """The formula of Assran et al. 2020 in the steps of the authors' code: a softmax times the labels, one-hot."""
    scores = (z @ z.T / TEMPERATURE).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    share = scores.softmax(dim=1) @ F.one_hot(labels).float()
    return -share.gather(1, labels[:, None]).log().mean()


def peers(name: str, labels: Tensor) -> dict[str, Loss]:
    """Everybody who computes a loss, ours first."""
    from lightly.loss import NTXentLoss  # pyright: ignore[reportMissingImports]
    from pytorch_metric_learning import losses as metric_learning  # pyright: ignore[reportMissingImports]

    half = len(labels) // 2
    images = torch.arange(half).repeat(2)
    lightly = NTXentLoss(TEMPERATURE)
    learned = metric_learning.SupConLoss(TEMPERATURE)
    return {
        "SupCon": {
            "likewise": lambda z: losses.sup_con(z, labels, TEMPERATURE),
            "SupContrast's formula": lambda z: plain_sup_con(F.normalize(z, dim=1), labels),
            "pytorch-metric-learning": lambda z: learned(z, labels),
        },
        "NT-Xent": {
            "likewise": lambda z: losses.nt_xent(z[:half], z[half:], TEMPERATURE),
            "lightly": lambda z: lightly(z[:half], z[half:]),
            "pytorch-metric-learning": lambda z: learned(z, images),
            "dense logsumexp": lambda z: dense_nt_xent(z, images),
        },
        "SuNCEt": {
            "likewise": lambda z: losses.suncet(z, labels, TEMPERATURE),
            "SuNCEt's formula": lambda z: plain_suncet(F.normalize(z, dim=1), labels),
        },
    }[name]


def dense_nt_xent(z: Tensor, images: Tensor) -> Tensor:
    unit = F.normalize(z, dim=1)
    return dense.info_nce(unit, unit, images, images, TEMPERATURE, torch.arange(len(z)))


def step(loss: Loss, z: Tensor) -> Callable[[], object]:
    """Forward and backward from fresh rows."""

    def run() -> None:
        leaf = z.detach().requires_grad_()
        loss(leaf).backward()

    return run


def floor_parts(dim: int) -> dict[str, Callable[[], object]]:
    """Tiles of products and of exponentials, timed together with the losses: the speed of the machine varies."""
    tile, left, right = torch.empty(512, 512), torch.randn(512, dim), torch.randn(dim, 512)
    scores, room = torch.randn(512, 512), torch.empty(512, 512)
    return {
        "product": lambda: [torch.mm(left, right, out=tile) for _ in range(TILES)],
        "exponential": lambda: [torch.exp(scores, out=room) for _ in range(TILES)],
    }


def floor(rows: int, dim: int, times: dict[str, float]) -> float:
    """Seconds that 4 N^2 D operations and N^2 exponentials take at the speeds that were measured in the same turns."""
    per_operation, per_exponential = (
        times.pop(part) / TILES / 512**2 for part in ("product", "exponential")
    )
    return 4 * rows**2 * dim * (per_operation / (2 * dim)) + rows**2 * per_exponential


def rows_and_labels(rows: int, settings: Settings) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(rows, settings.dim), torch.randint(settings.classes, (rows,))


def speed(settings: Settings) -> tuple[list[Table], dict[tuple[str, int], dict[str, float]]]:
    """A table for each loss, and the seconds behind it by (loss, rows)."""
    tables, seconds = [], {}
    for name in ("SupCon", "NT-Xent", "SuNCEt"):
        columns = ["rows", "library", "ms", "speed-up of likewise"]
        table = Table(f"{name}, forward + backward, D = {settings.dim}, float32", columns)
        for rows in settings.sizes:
            z, labels = rows_and_labels(rows, settings)
            candidates = {who: step(loss, z) for who, loss in peers(name, labels).items()}
            rounds = 5 if rows > 4096 else 21 if rows > 1024 else 61
            times = in_turns(
                {**candidates, **floor_parts(settings.dim)}, rounds, settings.clock, warm_up=2
            )
            times["floor"] = floor(rows, settings.dim, times)
            seconds[name, rows] = times
            for who, spent in times.items():
                beside_ours = f"{spent / times['likewise']:.1f}x as fast"
                if who == "floor":
                    beside_ours = f"{spent / times['likewise']:.0%} of it"
                elif who == "likewise":
                    beside_ours = ""
                table.rows.append([f"{rows:,}", who, f"{spent * 1e3:,.2f}", beside_ours])
        tables.append(table)
    return tables, seconds


def against_queue(settings: Settings) -> Table:
    """One batch against a long queue of fixed keys: MoCo's and ISD's losses against their dense forms."""
    torch.manual_seed(0)
    queries, other, queue = (
        F.normalize(torch.randn(n, settings.dim), dim=1) for n in (256, 256, 65536)
    )
    cases: dict[str, tuple[Loss, Loss]] = {
        "MoCo": (
            lambda q: losses.queue_nce(q, other, queue, TEMPERATURE),
            lambda q: dense.queue_nce(q, other, queue, TEMPERATURE),
        ),
        "ISD": (
            lambda q: losses.similarity_distillation(q, other, queue, 0.1, 0.01),
            lambda q: dense.similarity_distillation(q, other, queue, 0.1, 0.01),
        ),
    }
    table = Table(
        "256 queries against a queue of 65,536", ["loss", "likewise ms", "dense ms", "ratio"]
    )
    for name, (ours, theirs) in cases.items():
        both = {"likewise": step(ours, queries), "dense": step(theirs, queries)}
        times = in_turns(both, 7, settings.clock)
        ratio = f"{times['dense'] / times['likewise']:.1f}x"
        table.rows.append(
            [name, f"{times['likewise'] * 1e3:.1f}", f"{times['dense'] * 1e3:.1f}", ratio]
        )
    return table


def gradient_error(rows: int, settings: Settings) -> tuple[Table, float]:
    """Distance of the float32 gradient from the dense formula in float64, over the gradient's length."""
    z, labels = rows_and_labels(rows, settings)
    exact: dict[str, Loss] = {
        "SupCon": lambda z: dense_sup_con(z, labels, "out"),
        "NT-Xent": lambda z: dense_nt_xent(z, torch.arange(rows // 2).repeat(2)),
        "SuNCEt": lambda z: dense_sup_con(z, labels, "nca"),
    }
    table = Table(
        f"Gradient error at {rows:,} rows, against the dense formula in float64",
        ["loss", "relative error"],
    )
    errors = []
    for name, formula in exact.items():
        wanted = gradient(formula, z.double())
        errors.append(
            float(
                (gradient(peers(name, labels)["likewise"], z).double() - wanted).norm()
                / wanted.norm()
            )
        )
        table.rows.append([name, f"{errors[-1]:.1e}"])
    return table, max(errors)


def dense_sup_con(z: Tensor, labels: Tensor, kind: Kind) -> Tensor:
    unit = F.normalize(z, dim=1)
    return dense.info_nce(unit, unit, labels, labels, TEMPERATURE, torch.arange(len(z)), kind)


def gradient(loss: Loss, z: Tensor) -> Tensor:
    leaf = z.detach().requires_grad_()
    return torch.autograd.grad(loss(leaf), leaf)[0]


def memory(settings: Settings) -> tuple[Table, float]:
    """Peak memory of one step above what the process held before, each in a process of its own; gigabytes."""
    table = Table(f"Peak memory of one step at {settings.memory_size:,} rows", ["loss", "GB"])
    worst = 0.0
    for name in ("SupCon", "NT-Xent", "SuNCEt"):
        command = [
            sys.executable,
            __file__,
            "--only",
            name,
            "--memory-size",
            str(settings.memory_size),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ}
        )
        worst = max(worst, float(done.stdout))
        table.rows.append([name, f"{float(done.stdout):.3f}"])
    matrix = settings.memory_size**2 * 4 / 1e9
    table.notes = [
        f"One matrix of N x N in float32 would be {matrix:.1f} GB; the peers hold 4 to 11 of them."
    ]
    return table, worst


def peak_of(name: str, settings: Settings) -> float:
    """Gigabytes that one step of ours adds to the process's peak."""
    z, labels = rows_and_labels(settings.memory_size, settings)
    loss = peers(name, labels)["likewise"]
    # The peak so far, which the imports made, is forgotten.
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    step(loss, z)()
    return (_status("VmHWM") - before) * 1024 / 1e9


def _status(name: str) -> int:
    """Kilobytes, as the kernel counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def claims(
    seconds: dict[tuple[str, int], dict[str, float]], error: float, peak: float | None
) -> list[Claim]:
    """The targets."""

    def times(loss: str, rows: int, who: str) -> float | None:
        times = seconds.get((loss, rows))
        return times[who] / times["likewise"] if times else None

    def share(loss: str, rows: int) -> float | None:
        times = seconds.get((loss, rows))
        return times["floor"] / times["likewise"] if times else None

    def least_at_512() -> float | None:
        ratios = [
            spent / times["likewise"]
            for (_, rows), times in seconds.items()
            for who, spent in times.items()
            if rows == 512 and who not in ("likewise", "floor")
        ]
        return min(ratios, default=None)

    no_units = "" if cpu_multiplies_bfloat16() else "this CPU has no matrix units for bfloat16"
    return [
        Claim(
            "N = 8192: 8x SupContrast's formula", 8, times("SupCon", 8192, "SupContrast's formula")
        ),
        Claim("N = 8192: 7x lightly", 7, times("NT-Xent", 8192, "lightly")),
        Claim(
            "N = 8192: 7x pytorch-metric-learning",
            7,
            times("SupCon", 8192, "pytorch-metric-learning"),
        ),
        Claim("N = 8192: 65% of the floor (SupCon)", 0.65, share("SupCon", 8192)),
        Claim("N = 8192: 65% of the floor (NT-Xent)", 0.65, share("NT-Xent", 8192)),
        Claim("N = 2048: 45% of the floor (SupCon)", 0.45, share("SupCon", 2048)),
        Claim("N = 2048: 45% of the floor (NT-Xent)", 0.45, share("NT-Xent", 2048)),
        Claim("N = 512: not slower than the best peer, all losses", 1, least_at_512()),
        Claim("N = 32768: under 0.2 GB on top of the rows", 0.2, peak, at_least=False),
        Claim("gradient within 1e-6 of float64", 1e-6, error, at_least=False),
        Claim(
            "with bfloat16 matrix units: 10x SupContrast's formula at 1e-3", 10, None, note=no_units
        ),
    ]


def main(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)
    if settings.only:
        sys.stdout.write(f"{peak_of(settings.only, settings)}")
        return
    tables, seconds = speed(settings)
    errors, error = gradient_error(2048, settings)
    tables += [against_queue(settings), errors]
    peak = None
    if settings.memory_size:
        held, peak = memory(settings)
        tables.append(held)
    keep(
        "losses",
        "Contrastive losses on the CPU",
        tables,
        claims(seconds, error, peak),
        precision="float32",
        clock=settings.clock,
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
