"""What the kernels of views cost on an H100, read from what Triton compiles for it: no GPU is needed.

python benchmarks/view_kernel_costs.py

Each kernel is compiled for compute capability 9.0, as a call of `likewise.views.fused.views.make` would launch it.
Registers, spills and instructions are those of its machine code. Its time has two floors: all instructions at the rate
at which the GPU issues them, and all bytes at its memory's speed. An instruction in a loop or a branch counts once: a
view with all four colour changes takes each branch once, a crop that enlarges has one turn of taps, and a wide blur has
more.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import torch
import triton
from measuring import Table, keep
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver

from likewise.views.fused import kernels, views
from likewise.views.fused.packing import CHANNEL_FACTORS, Packed

PROCESSORS, SCHEDULERS, HERTZ = 132, 4, 1.755e9
"""An H100 SXM: multiprocessors, warp instructions that one issues in a cycle, its boost clock."""
BYTES_PER_SECOND = 3.35e12
REGISTERS, SHARED, MOST_WARPS, MOST_PROGRAMS = 65_536, 233_472, 64, 32
"""Of a multiprocessor."""
TOOL = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
FEW = views.KNOWS_STRIDE
"""Images for which kernels are compiled: those of any larger batch are the same."""


class NoGPU:
    """What Triton asks a driver, answered for an H100."""

    get_current_target = staticmethod(lambda: GPUTarget("cuda", 90, 32))
    get_current_device = staticmethod(lambda: 0)
    get_current_stream = staticmethod(lambda device: 0)


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
    instructions: list[str]

    @property
    def warps_at_once(self) -> int:
        """On a multiprocessor, by registers (given out by eights) and shared memory (1 KiB is the driver's)."""
        by_registers = REGISTERS // (32 * self.warps * 8 * ceil(self.registers / 8))
        by_shared = SHARED // (self.shared + 1024)
        programs = min(MOST_PROGRAMS, MOST_WARPS // self.warps, by_registers, by_shared)
        return programs * self.warps

    def count(self, pattern: str) -> int:
        """Instructions whose names match."""
        return sum(re.match(pattern, name) is not None for name in self.instructions)

    def issue_ms(self, case: Case) -> float:
        """All instructions at the rate of the schedulers."""
        warps = 2 * case.images * self.programs * self.warps
        rate = PROCESSORS * SCHEDULERS * HERTZ
        return 1e3 * warps * len(self.instructions) / rate

    def row(self, case: Case) -> list[str]:
        """Of the table."""
        per_pixel = len(self.instructions) * self.programs * self.warps * 32 / case.size**2
        return [
            case.name,
            self.name,
            *(str(number) for number in (self.registers, self.spilled, self.warps_at_once)),
            str(len(self.instructions)),
            f"{per_pixel:.0f}",
            *(str(self.count(pattern)) for pattern in (r"LDG", r"STG")),
            f"{self.issue_ms(case):.2f}",
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

    def __getitem__(self, grid: tuple[int, int]) -> Callable[..., None]:
        def compile_it(*arguments: Any, num_warps: int, **settings: Any) -> None:
            kernel = getattr(kernels, self.name)
            built = kernel.warmup(*arguments, grid=grid, num_warps=num_warps, **settings)
            registers, spilled, instructions = read(built.asm["cubin"])
            shared, programs = built.metadata.shared, grid[0] * grid[1] // FEW
            self.note(
                Cost(self.name, programs, num_warps, registers, spilled, shared, instructions)
            )

        return compile_it


def read(binary: bytes) -> tuple[int, int, list[str]]:
    """Registers and bytes of stack of a thread, and the names of all instructions."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        said = subprocess.run(
            [TOOL, "-res-usage", "-sass", file.name], capture_output=True, text=True, check=True
        ).stdout
    registers, stack = re.findall(r"REG:(\d+) STACK:(\d+)", said)[0]
    lines = re.findall(r"/\*[0-9a-f]{4,}\*/ +(?:@!?U?P\w+ +)?([A-Z][\w.]*)[^;]*;", said)
    return int(registers), int(stack), [name for name in lines if name != "NOP"]


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
        "instructions of a thread",
        "of a pixel",
        "loads",
        "stores",
        "ms to issue",
    )
    rows, sums = [], []
    for case in CASES:
        found = costs(case)
        rows.extend(cost.row(case) for cost in found)
        issued = sum(cost.issue_ms(case) for cost in found)
        sums.append([case.name, f"{issued:.2f}", f"{case.memory_ms:.2f}"])
    keep(
        "view_kernel_costs",
        "Views on a GPU, by arithmetic",
        [
            Table("Kernels", columns, rows, ["compiled for compute capability 9.0, not run"]),
            Table("Floors on an H100, ms", ("two views of", "to issue", "memory"), sums),
        ],
        triton=triton.__version__,
    )


if __name__ == "__main__":
    main()
