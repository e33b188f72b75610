"""What the columns of a Parquet file or of a pyarrow table are, by its schema."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa


def holds_images(kind: pa.DataType) -> bool:
    """Whether a column has encoded images: bytes, or ``{bytes, path}``."""
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def features_of(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """The Hugging Face features of a schema, where it has them."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return {name: feature for name, feature in features.items() if isinstance(feature, dict)}


def class_names_of(schema: pa.Schema) -> dict[str, list[str]]:
    """The names of the classes of each column that has such."""
    return {name: feature.get("names") or [] for name, feature in features_of(schema).items()}
