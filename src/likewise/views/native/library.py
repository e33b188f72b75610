"""``views.cpp`` compiled by the machine's own compiler, once, and cached for later processes.

Set ``LIKEWISE_NATIVE=0`` to do without it, ``CXX`` to name the compiler, ``XDG_CACHE_HOME`` to keep the result
elsewhere than under ``~/.cache``. Without a compiler views are made by PyTorch: equal, but slower; the logger
``likewise.views`` says why, at level INFO.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

SOURCE = Path(__file__).with_name("views.cpp")
HEADERS = sorted(SOURCE.parent.glob("*.h"))

_ARM = platform.machine().lower() in ("arm64", "aarch64")
FLAGS = (
    *("-std=c++17", "-O3", "-shared", "-fPIC", "-pthread"),
    *(("-mcpu=native",) if _ARM else ("-march=native", "-mprefer-vector-width=512")),
    # What lets a compiler turn loops into vectors. Never -ffast-math as a whole: in a shared library it would make the
    # whole process round the smallest floats to nought.
    *(
        "-fno-math-errno",
        "-fno-trapping-math",
        "-fno-signed-zeros",
        "-fassociative-math",
        "-ffinite-math-only",
    ),
)
SLOW = 1.0
"""Seconds of compilation above which a warning says what took so long."""

_log = logging.getLogger("likewise.views")
_one_at_a_time = threading.Lock()

_left_out = ""
"""Why this process does without the compiled code that it has; empty where it does not."""


class _Unavailable(Exception):
    """Why there is no compiled code; never leaves this file."""


def library() -> ctypes.CDLL | None:
    """The compiled code, built if need be, or None where it is not wanted or cannot be had."""
    found = _found()
    return found if isinstance(found, ctypes.CDLL) else None


def why_not() -> str:
    """Why there is no compiled code; empty where there is."""
    found = _found()
    return found if isinstance(found, str) else ""


def leave_out(reason: str) -> None:
    """Make views without compiled code from here on."""
    global _left_out
    _left_out = reason


def _found() -> ctypes.CDLL | str:
    """The compiled code, or why there is none."""
    if os.environ.get("LIKEWISE_NATIVE", "1") == "0":
        return "LIKEWISE_NATIVE=0 turns it off"
    if _left_out:
        return _left_out
    with _one_at_a_time:
        return _loaded()


@lru_cache(maxsize=1)
def _loaded() -> ctypes.CDLL | str:
    try:
        compiler = _compiler()
        cached = _folder() / f"views-{_key(compiler)}.so"
        if not _is_intact(cached):
            _build(compiler, cached)
        loaded = ctypes.CDLL(str(cached))
    except (_Unavailable, OSError) as reason:
        _log.info(
            "Views are made by PyTorch, many times slower on a CPU than by compiled code: %s",
            reason,
        )
        return str(reason)
    loaded.likewise_make_views.restype = None
    return loaded


def _compiler() -> list[str]:
    """Its path and the arguments that ``CXX`` gives it."""
    named = shlex.split(os.environ.get("CXX", ""))
    candidates = [named] if named else [["c++"], ["g++"], ["clang++"]]
    for command in candidates:
        if found := shutil.which(command[0]):
            return [found, *command[1:]]
    if named:
        raise _Unavailable(f"CXX names {named[0]}, which is not there")
    raise _Unavailable("no C++ compiler was found")


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "likewise"


def _key(compiler: list[str]) -> str:
    """Changes with everything that the compiled code depends on: source, flags, compiler, processor."""
    binary = Path(compiler[0]).resolve()
    sources = [file.read_text() for file in (SOURCE, *HEADERS)]
    about = (sources, compiler, FLAGS, str(binary), binary.stat().st_mtime_ns, _processor())
    return hashlib.sha256(repr(about).encode()).hexdigest()[:16]


def _processor() -> str:
    """Model and instruction sets: a folder may be shared by machines, and one's code must not run on another."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    first_core = cpuinfo.split("\n\n")[0].splitlines()
    telling = ("model name", "flags", "Features", "CPU part")
    return "\n".join(line for line in first_core if line.startswith(telling))


def _is_intact(cached: Path) -> bool:
    """Whether the file is as it was built: loading one that was cut short could end the process."""
    try:
        return _digest(cached) == cached.with_suffix(".sha256").read_text()
    except OSError:
        return False


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _build(compiler: list[str], cached: Path) -> None:
    """Compile in a temporary folder, then move the library into the cache, so that no process loads half a file."""
    start = time.perf_counter()
    cached.parent.mkdir(parents=True, exist_ok=True)
    # Several compilers at once may want more memory than there is.
    lock = FileLock(cached.with_suffix(".lock"))
    with lock, tempfile.TemporaryDirectory(dir=cached.parent) as folder:
        if _is_intact(cached):
            return
        built = Path(folder) / cached.name
        command = [*compiler, *FLAGS, str(SOURCE), "-o", str(built)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode:
            errors = [line for line in finished.stderr.splitlines() if "error" in line]
            message = errors[0] if errors else finished.stderr.strip()
            raise _Unavailable(f"{compiler[0]} failed: {message}")
        built.with_suffix(".sha256").write_text(_digest(built))
        os.replace(built, cached)
        os.replace(built.with_suffix(".sha256"), cached.with_suffix(".sha256"))
    if (took := time.perf_counter() - start) > SLOW:
        _log.warning(
            "Compiled the code that makes views, once for this machine: %.1f s, in %s",
            took,
            cached.parent,
        )
