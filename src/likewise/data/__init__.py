"""Where examples come from, and which of them and of their labels a step sees."""

from likewise.data.batch import UNLABELLED, Batch, Pixels
from likewise.data.loader import Loader, Support
from likewise.data.manifest import Manifest
from likewise.data.samplers import ClassBalanced
from likewise.data.sources.open import open_manifest
from likewise.data.stored_batch import StoredBatch, StoredSet

__all__ = [
    "UNLABELLED",
    "Batch",
    "ClassBalanced",
    "Loader",
    "Manifest",
    "Pixels",
    "StoredBatch",
    "StoredSet",
    "Support",
    "open_manifest",
]
