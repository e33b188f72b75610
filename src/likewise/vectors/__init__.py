"""Embedding vectors of images and texts: their files, and search by cosine similarity."""

from likewise.vectors.parts import Part, holds_vectors, part_rows, read_vectors, require_own_parts
from likewise.vectors.search import SearchResult, VectorIndex
from likewise.vectors.vectors import Vectors

__all__ = [
    "Part",
    "SearchResult",
    "VectorIndex",
    "Vectors",
    "holds_vectors",
    "part_rows",
    "read_vectors",
    "require_own_parts",
]
