"""What the kernels of views cost on an H100, read from what Triton compiles for it: no GPU is needed.

python benchmarks/view_kernel_costs.py

Each kernel is compiled for compute capability 9.0, as a call of `likewise.views.fused.views.make` would launch it.
Registers, spills and instructions are those of its machine code. Its time has three floors: all instructions at the
rate at which the GPU issues them, its loads and stores at theirs, and all bytes at its memory's speed.

The loops of a crop turn for taps beyond two an axis. They count as often as a box of SimCLR's takes them on average; a
box that enlarges takes none. Any other instruction counts once: a view with all four colour changes takes each branch
once, and a wide blur has more. The mean for contrast counts too much so: where it is needed, half of the other changes
come before contrast on average, and all are counted.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, prod
from pathlib import Path
from typing import Any

import torch
import triton
from measuring import Table, keep
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver

from likewise.randomness import BatchRNG
from likewise.views.fused import kernels, views
from likewise.views.fused.packing import CHANNEL_FACTORS, Packed
from likewise.views.policies import simclr

PROCESSORS, SCHEDULERS, HERTZ = 132, 4, 1.755e9
"""An H100 SXM: multiprocessors, warp instructions that one issues in a cycle, its boost clock.

Of loads and stores, shared memory's included, a multiprocessor takes one of a warp in a cycle: 32 units.
"""
BYTES_PER_SECOND = 3.35e12
REGISTERS, SHARED, MOST_WARPS, MOST_PROGRAMS = 65_536, 233_472, 64, 32
"""Of a multiprocessor."""
TOOL = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
FEW = views.KNOWS_STRIDES
"""Images for which kernels are compiled: those of any larger batch are the same."""


class NoGPU:
    """What Triton asks a driver, answered for an H100."""

    get_current_target = staticmethod(lambda: GPUTarget("cuda", 90, 32))
    get_current_device = staticmethod(lambda: 0)
    get_current_stream = staticmethod(lambda device: 0)


@dataclass(frozen=True)
class Taps:
    """How often the loops of a crop turn, on average of boxes."""

    columns: float = 0.0
    """beyond two, for both of the first lines"""
    lines: float = 0.0
    """beyond two"""
    of_lines: float = 0.0
    """all columns of all those lines"""

    @classmethod
    def mean(cls, stored: int, size: int, boxes: int = 50_000) -> Taps:
        """Of SimCLR's boxes in images as wide as high."""
        box = simclr().sample_boxes(BatchRNG((0,), boxes), torch.ones(boxes))
        sides = torch.stack([box[:, 0, 0], box[:, 1, 1]]).abs()
        taps = (2 * sides * stored / size).ceil().clamp(min=2)
        beyond_across, beyond_down = taps - 2
        of_lines = beyond_down * taps[0]
        return cls(beyond_across.mean().item(), beyond_down.mean().item(), of_lines.mean().item())


@dataclass(frozen=True)
class Instruction:
    """Of a kernel's machine code."""

    address: int
    name: str
    target: int | None
    """where it branches to"""


@dataclass(frozen=True)
class Case:
    """Two views of a number of images."""

    name: str
    images: int
    stored: int
    """pixels along a side"""
    size: int
    """of a view"""
    blurs: bool

    @property
    def taps(self) -> Taps:
        """Of boxes on average."""
        return Taps.mean(self.stored, self.size)

    @property
    def memory_ms(self) -> float:
        """Each byte of the images read once, and each number of the views written once, in float32."""
        moved = 3 * self.stored**2 + 3 * 4 * self.size**2
        return 1e3 * 2 * self.images * moved / BYTES_PER_SECOND


CASES = (
    Case("50,000 of 32 px", 50_000, 32, 32, False),
    Case("50,000 of 32 px, blur", 50_000, 32, 32, True),
    Case("512 of 224 px from 256", 512, 256, 224, False),
    Case("512 of 224 px from 256, blur", 512, 256, 224, True),
)


@dataclass(frozen=True)
class Cost:
    """One compiled kernel."""

    name: str
    programs: int
    """of an image"""
    warps: int
    registers: int
    spilled: int
    """bytes of a thread"""
    shared: int
    """bytes of a program"""
    instructions: list[Instruction]

    @property
    def warps_at_once(self) -> int:
        """On a multiprocessor, by registers (given out by eights) and shared memory (1 KiB is the driver's)."""
        by_registers = REGISTERS // (32 * self.warps * 8 * ceil(self.registers / 8))
        by_shared = SHARED // (self.shared + 1024)
        programs = min(MOST_PROGRAMS, MOST_WARPS // self.warps, by_registers, by_shared)
        return programs * self.warps

    def count(self, taps: Taps, pattern: str = "") -> float:
        """How many instructions whose names match a thread takes."""
        often = times(self.instructions, taps)
        matching = (re.match(pattern, instruction.name) for instruction in self.instructions)
        return sum(
            number for number, matches in zip(often, matching, strict=True) if matches is not None
        )

    def of_a_pixel(self, case: Case, taps: Taps) -> float:
        """How many instructions threads take for one."""
        return self.count(taps) * self.programs * self.warps * 32 / case.size**2

    def milliseconds(self, case: Case, pattern: str, in_a_cycle: int) -> float:
        """All matching instructions at the rate at which a multiprocessor takes them."""
        warps = 2 * case.images * self.programs * self.warps
        rate = PROCESSORS * in_a_cycle * HERTZ
        return 1e3 * warps * self.count(case.taps, pattern) / rate

    def issue_ms(self, case: Case) -> float:
        """All instructions."""
        return self.milliseconds(case, "", SCHEDULERS)

    def transfer_ms(self, case: Case) -> float:
        """Loads and stores."""
        return self.milliseconds(case, r"(LD|ST)[GS]", 1)

    def row(self, case: Case) -> list[str]:
        """Of the table."""
        return [
            case.name,
            self.name,
            *(str(number) for number in (self.registers, self.spilled, self.warps_at_once)),
            *(f"{self.of_a_pixel(case, taps):.0f}" for taps in (Taps(), case.taps)),
            *(f"{self.count(case.taps, pattern):.0f}" for pattern in ("", r"LDG", r"STG")),
            f"{self.issue_ms(case):.2f}",
            f"{self.transfer_ms(case):.2f}",
        ]


@dataclass
class Compiler:
    """In place of `likewise.views.fused.kernels`: notes a kernel's cost where it would be launched."""

    found: list[Cost] = field(default_factory=list)

    def __getattr__(self, name: str) -> Compiled:
        """The kernel of this name."""
        return Compiled(name, self.found.append)


@dataclass
class Compiled:
    """A kernel that is not started."""

    name: str
    note: Callable[[Cost], None]

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def compile_it(*arguments: Any, num_warps: int, **settings: Any) -> None:
            kernel = getattr(kernels, self.name)
            built = kernel.warmup(*arguments, grid=grid, num_warps=num_warps, **settings)
            registers, spilled, instructions = read(built.asm["cubin"])
            shared, programs = built.metadata.shared, prod(grid) // FEW
            self.note(
                Cost(self.name, programs, num_warps, registers, spilled, shared, instructions)
            )

        return compile_it


def read(binary: bytes) -> tuple[int, int, list[Instruction]]:
    """Registers and bytes of stack of a thread, and all instructions."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        said = subprocess.run(
            [TOOL, "-res-usage", "-sass", file.name], capture_output=True, text=True, check=True
        ).stdout
    registers, stack = re.findall(r"REG:(\d+) STACK:(\d+)", said)[0]
    lines = re.findall(r"/\*([0-9a-f]{4,})\*/ +(?:@!?U?P\w+ +)?([A-Z][\w.]*)([^;]*);", said)
    found = [_instruction(*line) for line in lines if line[1] != "NOP"]
    return int(registers), int(stack), found


def _instruction(address: str, name: str, operands: str) -> Instruction:
    target = re.search(r"0x([0-9a-f]+)$", operands.strip()) if name == "BRA" else None
    return Instruction(int(address, 16), name, int(target[1], 16) if target else None)


def times(instructions: list[Instruction], taps: Taps) -> list[float]:
    """How often a thread takes each instruction: once, but for the loops of a crop, and what prepares them."""
    loops = [loop for loop in _loops(instructions) if _reads_images(loop, instructions)]
    inner = [loop for loop in loops if not any(_holds(loop, other) for other in loops)]
    often = {instruction.address: 1.0 for instruction in instructions}
    for loop in loops:
        holds_another = any(_holds(loop, other) for other in loops)
        is_held = any(_holds(other, loop) for other in loops)
        number = taps.lines if holds_another else taps.of_lines if is_held else taps.columns
        first, last = loop if is_held else _with_preparation(loop, instructions)
        for address in often:
            if first <= address <= last and not (holds_another and _within_any(address, inner)):
                often[address] = number
    return list(often.values())


def _loops(instructions: list[Instruction]) -> list[tuple[int, int]]:
    """Addresses of the first and of the last instruction of each, which branches back."""
    return [
        (each.target, each.address)
        for each in instructions
        if each.target is not None and each.target < each.address
    ]


def _reads_images(loop: tuple[int, int], instructions: list[Instruction]) -> bool:
    return any(
        each.name.startswith("LDG.E.U8") and loop[0] <= each.address <= loop[1]
        for each in instructions
    )


def _holds(outer: tuple[int, int], inner: tuple[int, int]) -> bool:
    return outer != inner and outer[0] <= inner[0] and inner[1] <= outer[1]


def _within_any(address: int, loops: list[tuple[int, int]]) -> bool:
    return any(first <= address <= last for first, last in loops)


def _with_preparation(loop: tuple[int, int], instructions: list[Instruction]) -> tuple[int, int]:
    """From the last branch before a loop that leads past it, which is taken where the loop does not turn."""
    before = [
        each.address
        for each in instructions
        if each.address < loop[0] and each.target is not None and each.target > loop[1]
    ]
    return max(before, default=loop[0] - 1) + 1, loop[1]


def costs(case: Case) -> list[Cost]:
    """Of all kernels that a view takes."""
    compiler = Compiler()
    views.kernels = lambda module: compiler
    images = torch.zeros(FEW, 3, case.stored, case.stored, dtype=torch.uint8)
    box = torch.eye(2, 3).repeat(FEW, 1, 1)
    packed = Packed(box, torch.zeros(FEW, CHANNEL_FACTORS), coloured=True, blurs=case.blurs)
    views.make(images, packed, case.size)
    return compiler.found


def main() -> None:
    """Print and keep the table."""
    driver.set_active(NoGPU)  # pyright: ignore[reportArgumentType]
    columns = (
        "two views of",
        "kernel",
        "registers",
        "bytes spilled",
        "warps at once, of 64",
        "instructions of a pixel, box that enlarges",
        "mean box",
        "of a thread",
        "loads",
        "stores",
        "ms to issue",
        "ms to load and store",
    )
    rows, sums = [], []
    for case in CASES:
        found = costs(case)
        rows.extend(cost.row(case) for cost in found)
        issued = sum(cost.issue_ms(case) for cost in found)
        transferred = sum(cost.transfer_ms(case) for cost in found)
        numbers = (issued, transferred, case.memory_ms)
        sums.append([case.name, *(f"{number:.2f}" for number in numbers)])
    keep(
        "view_kernel_costs",
        "Views on a GPU, by arithmetic",
        [
            Table("Kernels", columns, rows, ["compiled for compute capability 9.0, not run"]),
            Table(
                "Floors on an H100, ms",
                ("two views of", "to issue", "to load and store", "memory"),
                sums,
            ),
        ],
        triton=triton.__version__,
    )


if __name__ == "__main__":
    main()
