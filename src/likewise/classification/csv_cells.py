"""Names in CSV files that a spreadsheet opens: none of them is taken for a formula.

A cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return gets an apostrophe before it, as
https://owasp.org/www-community/attacks/CSV_Injection has it. Numbers stay numbers. Parquet files hold the names alone.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

FORMULA = re.compile(r"'*[=+\-@\t\r]")


def as_cell(value: Any) -> Any:
    """A value for a CSV file."""
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def cells_of(table: pa.Table) -> pa.Table:
    """A table with all its names and texts as cells."""
    columns = []
    for column in table.columns:
        cells = list(map(as_cell, column.to_pylist()))
        columns.append(pa.array(cells, column.type))
    return pa.table(columns, names=list(map(as_cell, table.column_names)))


def names_of(batch: pa.RecordBatch, columns: pa.Schema) -> pa.RecordBatch:
    """Rows that were read from cells, with the names and texts that they stand for."""
    arrays = []
    for column in batch.columns:
        if pa.types.is_string(column.type):
            column = pc.call_function(
                "replace_substring_regex",
                [column],
                pc.ReplaceSubstringOptions(r"^'('*[=+\-@\t\r])", r"\1"),
            )
        arrays.append(column)
    return pa.record_batch(arrays, schema=columns)
