"""The contrastive loss on a CUDA device: our Triton kernels, the dense form, the same compiled, and a peer, in one run.

python benchmarks/losses_on_gpu.py           # every table
python benchmarks/losses_on_gpu.py --cuts    # and other cuts of the tiles: what to put in losses/triton_launch.py

One call is NT-Xent forward and backward over N rows of bfloat16: a loss and its gradient. Without a CUDA device nothing
is measured, and the result says so.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
import tyro
from measuring import Claim, Table, in_turns, keep, seconds
from torch import Tensor

from likewise.losses import tiles_triton
from likewise.losses.triton_launch import Tiles

Work = Callable[[], object]

TITLE = "Contrastive losses on a GPU"
FAST = "forward and backward under 7 ms at N = 65536, D = 128 in bfloat16 on an H100 (4 N² D operations take 2.8 ms)"
AHEAD_OF_DENSE = (
    "5 times as fast as torch.compile of the dense form, at the largest N where that fits"
)
AHEAD_OF_PEERS = "faster than the best of memeff and inf-cl where they do the same"


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    sizes: tuple[int, ...] = (8192, 16384, 32768, 65536)
    """rows N, both views counted"""
    width: int = 128
    """columns D"""
    temperature: float = 0.1
    """of the loss"""
    rounds: int = 7
    """turns that each candidate gets; the median counts"""
    cuts: bool = False
    """also time other cuts of the tiles: some minutes more, since each is compiled"""


def unit_rows(n: int, settings: Settings, seed: int = 0) -> Tensor:
    """Rows whose products are cosines over the temperature."""
    drawn = torch.randn(
        n, settings.width, device="cuda", generator=torch.Generator("cuda").manual_seed(seed)
    )
    return (F.normalize(drawn, dim=1) / settings.temperature**0.5).bfloat16()


def tiled(
    z: Tensor, forward: Tiles | None = None, backward: Tiles | None = None
) -> tuple[Tensor, Tensor]:
    """NT-Xent and its gradient by our kernels; row i + N/2 is the other view of row i."""
    self_index = torch.arange(len(z), device=z.device)
    all_logsumexp, _ = tiles_triton.forward(z, z, self_index, None, None, forward)
    partner = z.roll(len(z) // 2, 0).float()
    share = torch.full_like(all_logsumexp, 1 / len(z))
    gradient = tiles_triton.backward_square(
        z, self_index, None, all_logsumexp, None, share, None, backward
    )
    loss = (all_logsumexp - (z * partner).sum(dim=1)).mean()
    return loss, gradient.sub_(partner, alpha=2 / len(z))


def dense_loss(z: Tensor) -> Tensor:
    """NT-Xent as it is mostly written: all scores at once, the softmax in float32."""
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    scores = (z @ z.T).float().masked_fill(itself, -torch.inf)
    return F.cross_entropy(scores, torch.arange(len(z), device=z.device).roll(len(z) // 2))


def with_gradient(loss: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """A loss and its gradient by autograd."""
    z = z.detach().requires_grad_()
    value = loss(z)
    return value.detach(), torch.autograd.grad(value, z)[0]


def repeated(work: Work, count: int) -> Work:
    """So many calls behind each other, so that a short one is not drowned in the clock."""

    def many() -> None:
        for _ in range(count):
            work()

    return many


def milliseconds(candidates: dict[str, Work], rounds: int) -> dict[str, float]:
    """Of one call each, in turns; a candidate that runs out of memory is left out."""
    counts = {}
    for name, work in candidates.items():
        try:
            work()  # the compilers' turn
            counts[name] = max(1, int(0.05 / seconds(work)))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
    able = {name: repeated(candidates[name], count) for name, count in counts.items()}
    return {name: 1e3 * times / counts[name] for name, times in in_turns(able, rounds).items()}


def peak_memory(work: Work) -> float:
    """GB beyond what was there before."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    return (torch.cuda.max_memory_allocated() - before) / 1e9


def product_speed() -> float:
    """Operations a second of a large bfloat16 product, which is what the floor is counted in."""
    left, right = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * 8192**3 / (milliseconds({"product": lambda: left @ right}, 7)["product"] / 1e3)


def against_dense(settings: Settings) -> tuple[Table, list[Claim]]:
    """NT-Xent at every size."""
    speed = product_speed()
    columns = ["N", "library", "ms", "times the floor", "peak GB"]
    table = Table(f"NT-Xent forward and backward, D = {settings.width}, bfloat16", columns)
    table.notes.append(
        f"floor: 4 N² D operations at the measured {speed / 1e12:.0f} Tflop/s of a product"
    )
    ratio = fastest = None
    for n in settings.sizes:
        torch.compiler.reset()
        compiled = torch.compile(dense_loss, dynamic=False)
        z = unit_rows(n, settings)
        candidates: dict[str, Work] = {
            "likewise": lambda z=z: tiled(z),
            "dense": lambda z=z: with_gradient(dense_loss, z),
            "dense, compiled": lambda z=z, compiled=compiled: with_gradient(compiled, z),
        }
        times = milliseconds(candidates, settings.rounds)
        floor = 4 * n**2 * settings.width / speed * 1e3
        for name, work in candidates.items():
            if name in times:
                ms = times[name]
                table.rows.append(
                    [f"{n}", name, f"{ms:.3g}", f"{ms / floor:.2f}", f"{peak_memory(work):.2f}"]
                )
            else:
                table.rows.append([f"{n}", name, "does not fit", "", ""])
        if "dense, compiled" in times:
            ratio = times["dense, compiled"] / times["likewise"]
        if n == 65536 and settings.width == 128 and "H100" in torch.cuda.get_device_name():
            fastest = times["likewise"]
    table.notes.append(agreement(unit_rows(settings.sizes[0], settings)))
    return table, [
        Claim(
            FAST,
            7.0,
            fastest,
            at_least=False,
            note="" if fastest else "needs an H100, N = 65536 and D = 128",
        ),
        Claim(AHEAD_OF_DENSE, 5.0, ratio, note="" if ratio else "the dense form fitted nowhere"),
    ]


def agreement(z: Tensor) -> str:
    """How far our gradient and the dense one in bfloat16 are from the dense one in float32."""
    torch.compiler.reset()
    right = with_gradient(dense_loss, z.float())[1]
    off = [
        (found[1].float() - right).norm() / right.norm()
        for found in (tiled(z), with_gradient(dense_loss, z))
    ]
    return (
        f"relative error of the gradient at N = {len(z)}: likewise {off[0]:.1e}, dense {off[1]:.1e}"
    )


def one_direction(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """InfoNCE of queries against keys, row i with row i, and both gradients, by our kernels."""
    all_logsumexp, _ = tiles_triton.forward(queries, keys, None, None, None)
    share = torch.full_like(all_logsumexp, 1 / len(queries))
    of_queries, of_keys = tiles_triton.backward(
        queries, keys, None, None, None, all_logsumexp, None, share, None, (True, True)
    )
    if of_queries is not None and of_keys is not None:
        of_queries.sub_(keys, alpha=1 / len(queries))
        of_keys.sub_(queries, alpha=1 / len(queries))
    return (all_logsumexp - (queries * keys).sum(dim=1)).mean(), of_queries, of_keys


def inf_cl_direction(queries: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
    """The same by inf-cl (Cheng et al. 2024, https://arxiv.org/abs/2410.17243), which computes in TensorFloat-32."""
    from inf_cl import cal_flash_loss  # pyright: ignore[reportMissingImports]

    queries, keys = queries.detach().requires_grad_(), keys.detach().requires_grad_()
    loss = cal_flash_loss(queries, keys, head_dim=queries.shape[1]).mean()
    return loss.detach(), *torch.autograd.grad(loss, (queries, keys))


def against_peers(settings: Settings) -> tuple[Table, list[Claim]]:
    """InfoNCE in one direction, as CLIP has two: what inf-cl computes too."""
    n = min(32768, settings.sizes[-1])
    queries, keys = (unit_rows(n, settings, seed).float() for seed in (1, 2))
    candidates: dict[str, Work] = {
        "likewise, TensorFloat-32": lambda: one_direction(queries, keys),
        "likewise, bfloat16": lambda: one_direction(queries.bfloat16(), keys.bfloat16()),
    }
    notes = []
    if importlib.util.find_spec("inf_cl"):
        candidates["inf-cl, TensorFloat-32"] = lambda: inf_cl_direction(queries, keys)
    else:
        notes.append("inf-cl is not installed (`pip install inf_cl`).")
    known = importlib.util.find_spec("memeff") is not None
    notes.append(
        "memeff is installed, but this script cannot call it."
        if known
        else "memeff is not installed."
    )
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    times = milliseconds(candidates, settings.rounds)
    torch.set_float32_matmul_precision(before)
    table = Table(
        f"InfoNCE of {n} queries against {n} keys, D = {settings.width}",
        ["library", "ms"],
        notes=notes,
    )
    table.rows.extend([name, f"{ms:.3g}"] for name, ms in times.items())
    peer = times.get("inf-cl, TensorFloat-32")
    ratio = peer / times["likewise, TensorFloat-32"] if peer else None
    note = "against inf-cl, both in TensorFloat-32" if peer else " ".join(notes)
    return table, [Claim(AHEAD_OF_PEERS, 1.0, ratio, note=note)]


def other_cuts(settings: Settings) -> Table:
    """The two kernels with other tiles, at the largest size."""
    z = unit_rows(settings.sizes[-1], settings)
    cuts = [
        Tiles(rows, columns, warps, stages)
        for rows, warps in ((64, 4), (128, 4), (128, 8))
        for columns in (32, 64, 128)
        for stages in (2, 3, 4)
    ]
    self_index = torch.arange(len(z), device=z.device)
    all_logsumexp, _ = tiles_triton.forward(z, z, self_index, None, None)
    table = Table(
        f"Cuts of the tiles at N = {len(z)}, D = {settings.width}",
        ["tiles", "forward ms", "backward ms"],
    )
    for cut in cuts:
        times = milliseconds(
            {
                "forward": lambda cut=cut: tiles_triton.forward(z, z, self_index, None, None, cut),
                "backward": lambda cut=cut: tiles_triton.backward_square(
                    z, self_index, None, all_logsumexp, None, all_logsumexp, None, cut
                ),
            },
            rounds=3,
        )
        name = f"{cut.rows} x {cut.columns}, {cut.warps} warps, {cut.stages} stages"
        table.rows.append([name, f"{times['forward']:.3g}", f"{times['backward']:.3g}"])
    return table


def main(settings: Settings) -> None:
    if not torch.cuda.is_available():
        print("No CUDA device is here, so nothing was measured.")
        claims = [
            Claim(FAST, 7.0, None, at_least=False, note="no GPU was available"),
            Claim(AHEAD_OF_DENSE, 5.0, None, note="no GPU was available"),
            Claim(AHEAD_OF_PEERS, 1.0, None, note="no GPU was available"),
        ]
        keep("losses_on_gpu", TITLE, [], claims)
        return
    dense, dense_claims = against_dense(settings)
    peers, peer_claims = against_peers(settings)
    tables = [dense, peers, *([other_cuts(settings)] if settings.cuts else [])]
    facts: dict[str, Any] = {"precision": "bfloat16 in, float32 sums"}
    keep("losses_on_gpu", TITLE, tables, [*dense_claims, *peer_claims], **facts)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
