"""Untyped Arrow arrays and compute functions.

The type stubs of Arrow do not cover lists, structs and dictionaries in `pyarrow.compute`, so arrays
and functions on them are untyped here.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import pyarrow.compute

Column: TypeAlias = Any
pc: Any = pyarrow.compute


def whole(column: Column) -> Column:
    """A column of a table as a single array, also if it has no chunks."""
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
