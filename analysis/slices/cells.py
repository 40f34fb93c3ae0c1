"""Turns and failures of every combination of values, counted over integer codes.

Combinations are grown as in apriori (Agrawal & Srikant 1994): a cell with too few turns has no
child with enough, and the excess of a child cannot exceed the failures of its parent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.queries.filters import NOT_LOGGED
from progress import Progress, silent

# With more pairs of values, checking whether one dimension determines another costs too much.
_MOST_PAIRS = 10_000_000


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension, coded: `codes[i]` is the index in `values` of the value of row `rows[i]`.

    `rows` is None where each row has exactly one value: `codes[i]` is then that of row i.
    """

    name: str
    values: tuple[str, ...]
    codes: np.ndarray
    rows: np.ndarray | None = None

    def mask(self, code: int, length: int) -> np.ndarray:
        """Which of the `length` rows have this value, bool (length,)."""
        if self.rows is None:
            return np.asarray(self.codes == code)
        inside = np.zeros(length, bool)
        inside[self.rows[self.codes == code]] = True
        return inside


def coded(table: pa.Table, names: Sequence[str]) -> list[Dimension]:
    """The dimensions of `table` that have at least two values (a column of lists: at least one).

    Values are sorted by their text, so that codes do not depend on the order of rows; null is the
    value `(not logged)`. Names that are not columns of `table` are left out.
    """
    dimensions = []
    for name in names:
        if name not in table.column_names:
            continue
        column: Any = table[name].combine_chunks()
        rows = None
        if pa.types.is_list(column.type):
            rows, column = _members(column)
        dimension = _dimension(name, column, rows)
        if len(dimension.values) > (1 if rows is None else 0):
            dimensions.append(dimension)
    return dimensions


def _members(column: Any) -> tuple[np.ndarray, Any]:
    """Row and value of each distinct member of a column of lists; nulls are left out."""
    rows, values = pc.list_parent_indices(column), pc.list_flatten(column)
    if not pa.types.is_dictionary(values.type):
        values = values.cast(pa.string()).dictionary_encode()
    # Two entries of a dictionary may be equal; the first of them then stands for both.
    texts = values.dictionary.to_pylist()
    first = {text: index for index, text in reversed(list(enumerate(texts)))}
    lookup = np.array([-1 if t is None else first[t] for t in texts] + [-1], np.int64)
    codes = lookup[values.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)]
    present = codes >= 0
    pairs = rows.to_numpy().astype(np.int64)[present] * max(1, len(texts)) + codes[present]
    parents, codes = np.divmod(np.unique(pairs), max(1, len(texts)))
    numbers: Any = pa.array(codes)
    return parents, pa.DictionaryArray.from_arrays(numbers, values.dictionary)


def _dimension(name: str, column: Any, rows: np.ndarray | None) -> Dimension:
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    texts = [NOT_LOGGED if text is None else text for text in column.dictionary.to_pylist()]
    codes = column.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    texts.append(NOT_LOGGED)
    used = np.bincount(codes, minlength=len(texts)) > 0
    values = tuple(sorted({text for text, is_used in zip(texts, used, strict=True) if is_used}))
    code_of = {text: number for number, text in enumerate(values)}
    lookup = np.array([code_of.get(text, 0) for text in texts], np.int64)
    return Dimension(name, values, lookup[codes], rows)


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of one combination of dimensions: codes (cells × dimensions), turns and failures."""

    dimensions: tuple[int, ...]
    codes: np.ndarray
    turns: np.ndarray
    failures: np.ndarray


@dataclass(slots=True)
class Count:
    """Counts the cells of all combinations of up to `deepest` dimensions.

    Attributes
    ----------
    weight: failures per row. least: turns that a cell needs. floor: failures that a cell needs;
    the caller of `walk` may raise it while it iterates.
    tested: cells with enough turns; for cells that were not expanded, an upper bound is added.
    """

    dimensions: Sequence[Dimension]
    weight: np.ndarray
    least: int
    floor: float
    deepest: int = 3
    tested: int = 0
    _same: set[tuple[int, int]] = field(default_factory=set)

    def walk(self, progress: Progress = silent) -> Iterator[Cells]:
        """Cells with enough turns and failures, level by level."""
        count = len(self.dimensions)
        steps = sum(len(list(combinations(range(count), d))) for d in range(1, self.deepest + 1))
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            progress(done, steps, "counting combinations")

        level: list[tuple[tuple[int, ...], np.ndarray, Cells, np.ndarray | None]] = []
        for index, dimension in enumerate(self.dimensions):
            cells, codes = self._cells(
                (index,), dimension.codes, np.arange(len(dimension.values))[:, None], dimension.rows
            )
            yield cells
            level.append(((index,), codes, cells, dimension.rows))
            step()
        singles = list(level)
        for depth in range(2, self.deepest + 1):
            grown = []
            for indices, codes, cells, rows in level:
                for other in range(indices[-1] + 1, count):
                    step()
                    if any((index, other) in self._same for index in indices):
                        continue
                    joined = self._join(indices, codes, cells, rows, singles[other])
                    if joined:
                        yield joined[1]
                        if depth < self.deepest and len(joined[1].turns):
                            grown.append(((*indices, other), joined[0], joined[1], joined[2]))
            level = grown

    def _join(
        self,
        indices: tuple[int, ...],
        codes: np.ndarray,
        cells: Cells,
        rows: np.ndarray | None,
        single: tuple[tuple[int, ...], np.ndarray, Cells, np.ndarray | None],
    ) -> tuple[np.ndarray, Cells, np.ndarray | None] | None:
        (other,), other_codes, other_cells, other_rows = single
        # Code 0 stands for the cells left out on the level above.
        if other_rows is not None:
            if any(self.dimensions[index].rows is not None for index in indices):
                return None
            if rows is not None:
                # Put back the rows that were dropped because they are in no cell.
                full = np.zeros(len(self.weight), codes.dtype)
                full[rows] = codes
                codes = full
            rows, codes = other_rows, codes[other_rows]
        elif rows is not None:
            other_codes = other_codes[rows]
        alive = (codes > 0) & (other_codes > 0)
        if alive.mean() < 0.7 if len(alive) else False:
            codes, other_codes = codes[alive], other_codes[alive]
            rows = np.flatnonzero(alive) if rows is None else rows[alive]
        width = len(other_cells.turns) + 1
        joined = codes * np.int32(width) + other_codes
        first, second = np.divmod(np.arange((len(cells.turns) + 1) * width), width)
        names = np.column_stack(
            [
                np.vstack([np.full((1, len(indices)), -1), cells.codes])[first],
                np.concatenate([[-1], other_cells.codes[:, 0]])[second],
            ]
        )
        dead = (first == 0) | (second == 0)
        joined_cells, codes = self._cells((*indices, other), joined, names, rows, dead)
        if len(indices) == 1:
            self._note_same(indices[0], other)
        return codes, joined_cells, rows

    def _note_same(self, first: int, second: int) -> None:
        """Remember pairs of which one dimension determines the other: their cells add nothing.

        All values count, also those without cells of their own.
        """
        a, b = self.dimensions[first], self.dimensions[second]
        size = len(a.values) * len(b.values)
        if a.rows is not None or b.rows is not None or size > _MOST_PAIRS:
            return
        pairs = np.bincount(a.codes * np.int64(len(b.values)) + b.codes, minlength=size)
        if int((pairs > 0).sum()) <= max(len(a.values), len(b.values)):
            self._same.add((first, second))

    def _cells(
        self,
        indices: tuple[int, ...],
        codes: np.ndarray,
        names: np.ndarray,
        rows: np.ndarray | None,
        dead: np.ndarray | None = None,
    ) -> tuple[Cells, np.ndarray]:
        """The cells with enough turns and failures, and the cell of each row.

        Cells are numbered from 1; 0 stands for none.
        """
        weight = self.weight if rows is None else self.weight[rows]
        turns = np.bincount(codes, minlength=len(names))
        failures = np.bincount(codes, weight, minlength=len(names))
        if dead is not None:
            turns[dead] = 0
        enough = turns >= self.least
        self.tested += int(enough.sum())
        large = enough & (failures >= self.floor)
        left = self.deepest - len(indices)
        if left:
            # The most cells that may lie below an unexpanded one, for the correction of p-values.
            below = len(self.dimensions) - 1 - indices[-1]
            unexpanded = turns[enough & ~large] // self.least
            self.tested += int(unexpanded.sum()) * below * (1 + (left - 1) * below)
        number = np.zeros(len(names), np.int32)
        number[large] = np.arange(1, large.sum() + 1)
        return Cells(indices, names[large], turns[large], failures[large]), number[codes]
