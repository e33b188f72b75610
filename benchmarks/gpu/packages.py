"""What the scripts for a GPU need of its machine, where nothing can be fetched; imports nothing that may be missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

NEEDED = {
    "torch": "torch",
    "torchvision": "torchvision",
    "triton": "triton",
    "timm": "timm",
    "lightning_fabric": "lightning-fabric",
    "tyro": "tyro",
    "docstring_parser": "docstring-parser",
    "typeguard": "typeguard",
    "rich": "rich",
    "pyarrow": "pyarrow",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "pytest": "pytest",
}
"""Without one of these a section cannot begin; packages by the names of their modules."""

USEFUL = {
    "plotly": "plotly",
    "jinja2": "jinja2",
    "safetensors": "safetensors",
    "braceexpand": "braceexpand",
    "filelock": "filelock",
    "fsspec": "fsspec",
    "tensorboard": "tensorboard",
    "kornia": "kornia",
    "memeff": "memeff",
    "inf_cl": "inf-cl",
    "hypothesis": "hypothesis",
    "cv2": "opencv-python-headless",
}
"""Without one of these a measurement is left out."""


def missing(packages: dict[str, str]) -> list[str]:
    """Names of the packages that are not installed."""
    return [name for module, name in packages.items() if importlib.util.find_spec(module) is None]


@contextmanager
def naming_what_is_missing() -> Iterator[None]:
    """Where an import in this context fails, all missing packages are named at once.

    Raises:
        SystemExit: one failed.
    """
    try:
        yield
    except ImportError as error:
        needed = " ".join(missing(NEEDED)) or error.name
        raise SystemExit(
            f"{error}. Missing here: {needed}; useful besides: {' '.join(missing(USEFUL)) or 'nothing'}. "
            f"Carry their wheels, and: pip install --no-index --find-links WHEELS {needed}"
        ) from error
