"""Embedding vectors of images and texts: their files, and search by cosine similarity."""

from likewise.vectors.parts import Part, has_vectors, part_rows, read_vectors, require_own_parts
from likewise.vectors.search import SearchResult, VectorIndex
from likewise.vectors.vectors import Vectors

__all__ = [
    "Part",
    "SearchResult",
    "VectorIndex",
    "Vectors",
    "has_vectors",
    "part_rows",
    "read_vectors",
    "require_own_parts",
]
