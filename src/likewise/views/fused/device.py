"""The kernels of this folder."""

from __future__ import annotations

from typing import Any


def kernel(name: str) -> Any:
    """A kernel by its name, imported here, since it needs Triton, and since its import takes long."""
    from likewise.views.fused import kernels

    return getattr(kernels, name)
