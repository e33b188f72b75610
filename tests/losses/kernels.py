"""Where the tests of GPU kernels run: compiled where there is a GPU, else through Triton's interpreter.

The interpreter must be chosen before Triton is imported, so its cases have a process of their own.
"""

import functools
import importlib.util
import os
import subprocess
import sys

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED or not torch.cuda.is_available() else "cuda"
on_kernels = pytest.mark.skipif(
    not INTERPRETED and DEVICE == "cpu",
    reason="no CUDA device; the interpreter runs this case in a process of its own",
)
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
runs_elsewhere = pytest.mark.skipif(
    INTERPRETED or DEVICE == "cuda", reason="the cases run in this process"
)

OF_THE_INTERPRETER = ("aten.set_", "aten.copy_") if INTERPRETED else ()
"""Operations by which Triton's interpreter moves data between the host and the kernels."""


def keep_language_patched():
    """Let Triton's interpreter patch its language once for each function, not in each of its calls.

    That takes a third of the time of small cases.
    """
    from triton.runtime import interpreter

    class Kept:
        restore = staticmethod(lambda: None)

    patch = interpreter._patch_lang

    @functools.cache
    def patch_once(function):
        patch(function)
        return Kept

    interpreter._patch_lang = patch_once


def leave_out_idle_work():
    """Let Triton's interpreter neither prepare checks that it never makes, nor make a table of formats at each use.

    That takes a quarter of the time of small cases.
    """
    from triton.language.semantic import TritonSemantic
    from triton.runtime import interpreter

    # Of an overflow: what it prepares is asserted in debug mode alone.
    if not interpreter.InterpreterOptions().debug:
        TritonSemantic.binary_op_sanitize_overflow_impl = lambda *given: None
    of_numbers = functools.cache(interpreter._get_np_dtype)
    of_pointers = interpreter._get_np_dtype

    def numpy_format(given):
        return (of_pointers if given.scalar.is_ptr() else of_numbers)(given.scalar)

    interpreter._get_np_dtype = numpy_format


if INTERPRETED:
    keep_language_patched()
    leave_out_idle_work()


class Counted:
    """Kernels that note the name of each launch in ``launched``."""

    def __init__(self, made, launched):
        self.made, self.launched = made, launched

    def __getattr__(self, kernel):
        self.launched.append(kernel)
        return getattr(self.made, kernel)


def beside(operations):
    """Launches of PyTorch's own operations in a trace."""
    return {
        name: count
        for name, count in operations.operations.items()
        if name not in OF_THE_INTERPRETER
    }


BEFORE_COMPILING = """
import torch
from likewise.gpu_kernels import kernels
from likewise.losses.fused import devices
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver


class Nowhere:
    get_current_target = staticmethod(lambda: GPUTarget("cuda", 90, 32))
    get_current_device = staticmethod(lambda: 0)
    get_current_stream = staticmethod(lambda device: 0)


class Compiled:
    instructions = ()

    def __init__(self, kernel):
        self.kernel = kernel

    def __getitem__(self, grid):
        def launched(*arguments, **settings):
            built = self.kernel.warmup(*arguments, grid=grid, **settings)
            assert built.metadata.shared < 232448, built.metadata
            for instruction in self.instructions:
                assert instruction in built.asm["ptx"], instruction
            print("compiled", end=" ")
        return launched


class Kernels:
    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        return Compiled(getattr(self.module, name))


def compiled(module):
    return Kernels(kernels(module))


driver.set_active(Nowhere)
devices.run_on = lambda device: True
"""


def compiled_for_a_gpu_that_is_not_here(code):
    """How many kernels a piece of Python launches through ``compiled(module)``, each compiled for capability 9.0.

    All must hold the ``Compiled.instructions`` that it sets.
    """
    clean = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    run = subprocess.run(
        [sys.executable, "-c", BEFORE_COMPILING + code],
        env=clean,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split().count("compiled")
