"""Fabric, imported when it is needed, for that takes a second."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def load_fabric() -> type[Fabric]:
    """The class. Its package asks for the version of torchmetrics, whose import would take two seconds."""
    # A release that asks for more gets the whole package.
    with version_alone("torchmetrics"), suppress(ImportError, AttributeError):
        importlib.import_module("lightning_fabric")
    from lightning_fabric import Fabric

    return Fabric


@contextmanager
def version_alone(package: str) -> Iterator[None]:
    """While the context is open, importing a package that is not loaded yet gives its ``__version__`` and no more."""
    if package in sys.modules:
        yield
        return
    with suppress(importlib.metadata.PackageNotFoundError):
        stand_in = ModuleType(package)
        stand_in.__dict__["__version__"] = importlib.metadata.version(package)
        sys.modules[package] = stand_in
    try:
        yield
    finally:
        sys.modules.pop(package, None)
