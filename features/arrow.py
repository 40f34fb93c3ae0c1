"""Arrow arrays as this package handles them.

Arrow's published types do not follow lists, structs and dictionaries through `pyarrow.compute`, so
arrays and functions on them are untyped here.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import pyarrow.compute

Column: TypeAlias = Any
pc: Any = pyarrow.compute


def whole(column: Column) -> Column:
    """A column of a table as one array, also where it has no chunk."""
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
