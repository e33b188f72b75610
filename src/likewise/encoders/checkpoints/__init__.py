"""Checkpoints of other libraries: read, recognised, and brought onto the names of timm's networks."""

from likewise.encoders.checkpoints.key_match import KeyMatch
from likewise.encoders.checkpoints.load_weights import has_small_stem, load_weights

__all__ = ["KeyMatch", "has_small_stem", "load_weights"]
