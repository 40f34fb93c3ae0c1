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
    """Numeric columns side by side as float64, shape (rows, names); null counts as 0.

    Raises UsageError that names the columns missing from the table.
    """
    need(table, names)
    values = np.zeros((table.num_rows, len(names)))
    for column_index, name in enumerate(names):
        column: Any = pc.fill_null(table[name].cast(pa.float64()), pa.scalar(0.0))
        values[:, column_index] = column.to_numpy()
    return values


def need(table: pa.Table, names: Sequence[str]) -> None:
    """Raise UsageError unless the table has all these columns."""
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise UsageError(
            f"The table has no column {', '.join(missing)}; it has {', '.join(table.column_names)}."
        )


def dictionary(table: pa.Table, name: str) -> tuple[NDArray[np.int64], list[Any]]:
    """The code of each row, shape (rows,), and the distinct values of a column by code.

    Null is a value.
    """
    encoded = table[name].combine_chunks().dictionary_encode(null_encoding="encode")
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    code = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return code, encoded.dictionary.to_pylist()


def codes(table: pa.Table, keys: Sequence[str]) -> tuple[NDArray[np.int64], pa.Table]:
    """Number the distinct combinations of values of some columns; null is a value.

    Returns the code of each row, shape (rows,), and a table of the combinations in order of their
    codes. Without keys all rows are one group.
    """
    need(table, keys)
    rows = np.zeros(table.num_rows, np.int64)
    for key in keys:
        code, values = dictionary(table, key)
        # Renumbered after each column, so that many columns do not overflow.
        rows = np.unique(rows * (len(values) + 1) + code, return_inverse=True)[1]
    first = np.unique(rows, return_index=True)[1]
    return rows, table.select(list(keys)).take(first)


def sums(values: NDArray[np.float64], group: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    """Sums of the rows of a matrix per group, shape (groups, columns)."""
    totals = np.empty((groups, values.shape[1]))
    for column in range(values.shape[1]):
        totals[:, column] = np.bincount(group, values[:, column], groups)
    return totals


def by_code(code: NDArray[np.int64], values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Sums of values per code, shape (size,)."""
    return np.bincount(code, values, size).astype(np.float64)


def ratio(above: NDArray[np.float64] | float, below: NDArray[np.float64]) -> NDArray[np.float64]:
    """`above / below`; 0 where the divisor is not positive."""
    safe = np.where(below > 0, below, 1.0)
    return np.where(below > 0, above / safe, 0.0)
