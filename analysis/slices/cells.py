"""Turns and failures of every combination of values, counted over integer codes.

Combinations are grown as in apriori (Agrawal & Srikant 1994): a cell with too few turns has no
child with enough, and no child's excess can be above the failures of its parent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.queries.filters import NOT_LOGGED

Progress = Callable[[float], None]
# With more pairs of values, whether one dimension settles another is not worth finding out.
_MOST_PAIRS = 10_000_000


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension, coded: `codes[i]` is the place in `values` of row `rows[i]`.

    `rows` is None where each row has exactly one value, and else tells each code's row.
    """

    name: str
    values: tuple[str, ...]
    codes: np.ndarray
    rows: np.ndarray | None = None

    def mask(self, code: int, length: int) -> np.ndarray:
        """Which of the `length` rows have this value."""
        if self.rows is None:
            return np.asarray(self.codes == code)
        found = np.zeros(length, bool)
        found[self.rows[self.codes == code]] = True
        return found


def coded(table: pa.Table, names: Sequence[str]) -> list[Dimension]:
    """The dimensions of `table` that have two values or more (a membership: one or more).

    Values are in the order of their text, so that codes do not depend on the order of rows; null
    is the value `(not logged)`.
    """
    found = []
    for name in names:
        if name not in table.column_names:
            continue
        column: Any = table[name].combine_chunks()
        rows = None
        if pa.types.is_list(column.type):
            rows, column = _members(column)
        dimension = _dimension(name, column, rows)
        if len(dimension.values) > (1 if rows is None else 0):
            found.append(dimension)
    return found


def _members(column: Any) -> tuple[np.ndarray, Any]:
    """Row and value of each distinct member of a column of lists; nulls are no members."""
    rows, values = pc.list_parent_indices(column), pc.list_flatten(column)
    if not pa.types.is_dictionary(values.type):
        values = values.cast(pa.string()).dictionary_encode()
    # Two entries of a dictionary may be equal; one of them then speaks for both.
    texts = values.dictionary.to_pylist()
    first = {text: place for place, text in reversed(list(enumerate(texts)))}
    lookup = np.array([-1 if t is None else first[t] for t in texts] + [-1], np.int64)
    codes = lookup[values.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)]
    present = codes >= 0
    pairs = rows.to_numpy().astype(np.int64)[present] * max(1, len(texts)) + codes[present]
    kept, codes = np.divmod(np.unique(pairs), max(1, len(texts)))
    numbers: Any = pa.array(codes)
    return kept, pa.DictionaryArray.from_arrays(numbers, values.dictionary)


def _dimension(name: str, column: Any, rows: np.ndarray | None) -> Dimension:
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    texts = [NOT_LOGGED if text is None else text for text in column.dictionary.to_pylist()]
    codes = column.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    texts.append(NOT_LOGGED)
    used = np.bincount(codes, minlength=len(texts)) > 0
    values = tuple(sorted({text for text, seen in zip(texts, used, strict=True) if seen}))
    place = {text: number for number, text in enumerate(values)}
    lookup = np.array([place.get(text, 0) for text in texts], np.int64)
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
    the reader of `walk` may raise it as it goes.
    tested: cells with enough turns, counting for those that were not opened the most there can be.
    """

    dimensions: Sequence[Dimension]
    weight: np.ndarray
    least: int
    floor: float
    deepest: int = 3
    tested: int = 0
    _same: set[tuple[int, int]] = field(default_factory=set)

    def walk(self, progress: Progress | None = None) -> Iterator[Cells]:
        """Cells with enough turns and failures, level by level."""
        count = len(self.dimensions)
        steps = sum(len(list(combinations(range(count), d))) for d in range(1, self.deepest + 1))
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            if progress:
                progress(done / max(1, steps))

        level: list[tuple[tuple[int, ...], np.ndarray, Cells, np.ndarray | None]] = []
        for place, dimension in enumerate(self.dimensions):
            cells, codes = self._cells(
                (place,), dimension.codes, np.arange(len(dimension.values))[:, None], dimension.rows
            )
            yield cells
            level.append(((place,), codes, cells, dimension.rows))
            step()
        singles = list(level)
        for depth in range(2, self.deepest + 1):
            grown = []
            for places, codes, cells, rows in level:
                for other in range(places[-1] + 1, count):
                    step()
                    if any((place, other) in self._same for place in places):
                        continue
                    made = self._join(places, codes, cells, rows, singles[other])
                    if made:
                        yield made[1]
                        if depth < self.deepest and len(made[1].turns):
                            grown.append(((*places, other), made[0], made[1], made[2]))
            level = grown

    def _join(
        self,
        places: tuple[int, ...],
        codes: np.ndarray,
        cells: Cells,
        rows: np.ndarray | None,
        single: tuple[tuple[int, ...], np.ndarray, Cells, np.ndarray | None],
    ) -> tuple[np.ndarray, Cells, np.ndarray | None] | None:
        (other,), other_codes, other_cells, other_rows = single
        # Code 0 is what was left out on the level above.
        if other_rows is not None:
            if any(self.dimensions[place].rows is not None for place in places):
                return None
            if rows is not None:
                # Rows that were dropped because they are in no cell.
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
                np.vstack([np.full((1, len(places)), -1), cells.codes])[first],
                np.concatenate([[-1], other_cells.codes[:, 0]])[second],
            ]
        )
        dead = (first == 0) | (second == 0)
        made, codes = self._cells((*places, other), joined, names, rows, dead)
        if len(places) == 1:
            self._note_same(places[0], other)
        return codes, made, rows

    def _note_same(self, one: int, other: int) -> None:
        """Where one dimension settles the other, both together say nothing new.

        All values count: those without cells of their own tell the others apart.
        """
        a, b = self.dimensions[one], self.dimensions[other]
        size = len(a.values) * len(b.values)
        if a.rows is not None or b.rows is not None or size > _MOST_PAIRS:
            return
        pairs = np.bincount(a.codes * np.int64(len(b.values)) + b.codes, minlength=size)
        if int((pairs > 0).sum()) <= max(len(a.values), len(b.values)):
            self._same.add((one, other))

    def _cells(
        self,
        places: tuple[int, ...],
        codes: np.ndarray,
        names: np.ndarray,
        rows: np.ndarray | None,
        dead: np.ndarray | None = None,
    ) -> tuple[Cells, np.ndarray]:
        """The cells worth telling, and each row's cell: its number from 1, or 0 for none."""
        weight = self.weight if rows is None else self.weight[rows]
        turns = np.bincount(codes, minlength=len(names))
        failures = np.bincount(codes, weight, minlength=len(names))
        if dead is not None:
            turns[dead] = 0
        enough = turns >= self.least
        self.tested += int(enough.sum())
        kept = enough & (failures >= self.floor)
        left = self.deepest - len(places)
        if left:
            # What an unopened cell could have held below it, for the correction of p-values.
            below = len(self.dimensions) - 1 - places[-1]
            unopened = turns[enough & ~kept] // self.least
            self.tested += int(unopened.sum()) * below * (1 + (left - 1) * below)
        number = np.zeros(len(names), np.int32)
        number[kept] = np.arange(1, kept.sum() + 1)
        return Cells(places, names[kept], turns[kept], failures[kept]), number[codes]
