"""Where examples come from, and which of them and of their labels a step sees."""

from likewise.data.batch import UNLABELLED, Batch, Pixels
from likewise.data.loader import Loader, Support
from likewise.data.manifest import Manifest
from likewise.data.samplers import ClassBalanced
from likewise.data.sources.open import open_manifest

__all__ = [
    "UNLABELLED",
    "Batch",
    "ClassBalanced",
    "Loader",
    "Manifest",
    "Pixels",
    "Support",
    "open_manifest",
]
