"""The pivot table of Explore: as a table with shaded cells, and in words."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd

from charts.formatting import count, distinct, percent, short
from charts.palette import COLOURS
from data.queries.filters import NOT_LOGGED
from data.queries.pivot import (
    ANY,
    DIMENSIONS,
    FEW,
    OTHERS,
    Cell,
    Measure,
    Pivot,
)
from data.schema.vocabulary import NAMES

# Opacity of the strongest cell: its text stays readable, on white and on near-black.
SHADES = 0.62
_ANY_COLOUR = "#8A6FB0"
ALL = "All"


def label(name: str | None, value: str) -> str:
    """The label of a row or column: the value `value` of the dimension `name`."""
    if name is None:
        return ""
    if not value:
        return "(empty)"
    if value == OTHERS:
        return "earlier" if DIMENSIONS[name].order is None else "others"
    if value == NOT_LOGGED:
        return "no slot" if name == "slot" else "not logged"
    if name in ("day", "week"):
        day = date.fromisoformat(value)
        return f"{day:%a} {day.day} {day:%b %Y}" if name == "day" else f"{day.day} {day:%b %Y}"
    if name == "verdict":
        return NAMES[value]
    low, dots, high = value.partition("..")
    if dots and name in ("confidence", "words", "hour"):
        return f"{low} to {high}" if low and high else f"below {high}" if high else f"{low} or more"
    return value


def heads(table: Pivot) -> list[str]:
    """The names of the columns of `heat`, in the order of the table's columns; all different."""
    if not table.across:
        return []
    names = [short(label(table.across, column), 60) or "–" for column in table.columns]
    return distinct(names, [DIMENSIONS[table.down].label, ALL])


def heat(table: Pivot, measure: Measure, failure: str = ANY) -> Any:
    """A pandas Styler: one row per value, a column per value, the total of each row last.

    Numbers are percentages for rates and shares. Cells with few turns are in brackets, uncoloured.
    """
    total = table.total()
    columns = heads(table)
    grid = [
        [table.cells.get((row, column)) for column in table.columns] if table.across else []
        for row in table.rows
    ]
    for row, cells in zip(table.rows, grid, strict=True):
        cells.append(table.total(row))
    names = [*columns, ALL]
    values = [[_value(cell, measure, total) for cell in cells] for cells in grid]
    frame = pd.DataFrame(values, columns=names, dtype=float)
    first = DIMENSIONS[table.down].label
    frame.insert(0, first, [short(label(table.down, row), 160) for row in table.rows])
    # Cells without the column of totals.
    inner = [
        v
        for line, cells in zip(values, grid, strict=True)
        for v, cell in list(zip(line, cells, strict=True))[: len(columns) or None]
        if v is not None and cell and _reliable(cell, measure)
    ]
    top = max(inner, default=0.0)
    colour = _rgb(COLOURS.get(failure, _ANY_COLOUR))

    def shade(_: pd.DataFrame) -> pd.DataFrame:
        styles = [[""] * frame.shape[1] for _ in range(len(frame))]
        for y, cells in enumerate(grid):
            for x, cell in enumerate(cells):
                value = values[y][x]
                if cell is None or value is None or not top or not _reliable(cell, measure):
                    continue
                if x < len(columns) or not columns:
                    opacity = SHADES * min(1.0, value / top)
                    styles[y][x + 1] = f"background-color: rgba({colour}, {opacity:.3f})"
        return pd.DataFrame(styles, index=frame.index, columns=frame.columns)

    bracketed = {
        (y, x)
        for y, cells in enumerate(grid)
        for x, cell in enumerate(cells)
        if cell and not _reliable(cell, measure)
    }
    styler = frame.style.apply(shade, axis=None)
    for x, name in enumerate(names):
        for in_brackets in (True, False):
            rows = [y for y in frame.index if ((y, x) in bracketed) is in_brackets]
            if rows:
                styler = styler.format(
                    _format(measure, in_brackets), subset=(rows, [name]), na_rep="·"
                )
    return styler


def cell_words(table: Pivot, row: str, column: str | None, cell: Cell) -> str:
    """A cell in one line: its row and column, turns, failures, and rate with interval."""
    low, high = cell.interval
    where = short(label(table.down, row))
    if column is not None and table.across:
        where += f", {short(label(table.across, column))}"
    return (
        f"{where}: {count(cell.turns)} turns, about {count(cell.failures)} failed, "
        f"{percent(cell.rate)} ({percent(low)} to {percent(high)})"
    )


def pivot_words(table: Pivot, measure: Measure, failure: str) -> str:
    """What the numbers are, for the caption and for readers who cannot see the shades."""
    what = "failed" if failure == ANY else f"failed at {NAMES[failure]}"
    text = {
        "rate": f"Estimated share of a cell’s turns that {what}; in brackets: fewer than {FEW} "
        "turns.",
        "failures": f"Estimated number of turns that {what}.",
        "turns": "Number of turns.",
        "share": f"A cell’s part of all turns that {what}, estimated.",
    }[measure]
    slots = (
        " A turn counts under each of its slots." if "slot" in (table.down, table.across) else ""
    )
    return f"{text}{slots} Darker is more. Select a cell to narrow the filters to it."


def _reliable(cell: Cell, measure: Measure) -> bool:
    return measure != "rate" or cell.turns >= FEW


def _value(cell: Cell | None, measure: Measure, total: Cell) -> float | None:
    if cell is None or not cell.turns:
        return None
    if measure == "rate":
        return 100 * cell.rate
    if measure == "share":
        return 100 * cell.failures / total.failures if total.failures else 0.0
    return float(cell.turns) if measure == "turns" else cell.failures


def _format(measure: Measure, bracketed: bool) -> Any:
    def format_value(value: float) -> str:
        text = percent(value / 100) if measure in ("rate", "share") else count(value)
        return f"({text})" if bracketed else text

    return format_value


def _rgb(colour: str) -> str:
    return ", ".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))
