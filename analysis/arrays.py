"""Columns of Arrow tables as NumPy arrays, and rows grouped by several columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.errors import UsageError


def matrix(table: pa.Table, names: Sequence[str]) -> NDArray[np.float64]:
    """Numeric columns side by side, shape (rows, names); null is 0, as in a sum.

    Raises UsageError naming the columns that the table lacks.
    """
    need(table, names)
    found = np.zeros((table.num_rows, len(names)))
    for place, name in enumerate(names):
        column: Any = pc.fill_null(table[name].cast(pa.float64()), pa.scalar(0.0))
        found[:, place] = column.to_numpy()
    return found


def need(table: pa.Table, names: Sequence[str]) -> None:
    """Raise UsageError unless the table has all these columns."""
    lacking = [name for name in names if name not in table.column_names]
    if lacking:
        raise UsageError(
            f"The table has no column {', '.join(lacking)}; it has {', '.join(table.column_names)}."
        )


def codes(table: pa.Table, keys: Sequence[str]) -> tuple[NDArray[np.int64], pa.Table]:
    """Number the distinct combinations of some columns' values, null being a value.

    Returns the number of each row, and a table of the combinations in order of their numbers.
    Without keys all rows are one group.
    """
    need(table, keys)
    rows = np.zeros(table.num_rows, np.int64)
    for key in keys:
        encoded = table[key].combine_chunks().dictionary_encode(null_encoding="encode")
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        place = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        # Renumbered after each column, so that many columns do not overflow.
        rows = np.unique(rows * (len(encoded.dictionary) + 1) + place, return_inverse=True)[1]
    first = np.unique(rows, return_index=True)[1]
    return rows, table.select(list(keys)).take(first)


def sums(values: NDArray[np.float64], group: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    """Sums of a matrix's rows per group: shape (groups, columns)."""
    found = np.empty((groups, values.shape[1]))
    for place in range(values.shape[1]):
        found[:, place] = np.bincount(group, values[:, place], groups)
    return found


def by_code(code: NDArray[np.int64], values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Sums of values per code, shape (size,)."""
    return np.bincount(code, values, size).astype(np.float64)


def ratio(above: NDArray[np.float64] | float, below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quotients; 0 where the divisor is not positive."""
    safe = np.where(below > 0, below, 1.0)
    return np.where(below > 0, above / safe, 0.0)
