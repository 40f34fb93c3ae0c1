"""The pivot table of Explore: as a heat map, as a table with shaded cells, and in words."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from charts.formatting import count, distinct, inert, percent, short
from charts.layout import bare, from_the_top
from charts.palette import COLOURS, INK
from data.queries.filters import EMPTY_TEXT, NOT_LOGGED
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
EMPTY = "–"
# Grey text of cells with few turns, on light and on dark, with a contrast of at least 4.5 : 1.
GREY = ("#666E79", "#A0A8B2")
# Between the cells and their totals, in cells.
_GAP = 0.12


def label(name: str | None, value: str) -> str:
    """The label of a row or column: the value `value` of the dimension `name`."""
    if name is None:
        return ""
    if not value:
        return EMPTY_TEXT
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


def _grid(table: Pivot) -> list[list[Cell | None]]:
    """The cells line by line; the total of each line last, and a line of totals at the end."""
    grid = [
        [
            *([table.cells.get((row, column)) for column in table.columns] if table.across else ()),
            table.total(row),
        ]
        for row in table.rows
    ]
    if not grid:
        return []
    columns = [table.total(None, column) for column in table.columns] if table.across else []
    return [*grid, [*columns, table.total()]]


def _strongest(table: Pivot, measure: Measure) -> float:
    """The largest value of a cell that is no total, with enough turns."""
    total = table.total()
    values = [
        _value(cell, measure, total) for cell in table.cells.values() if _reliable(cell, measure)
    ]
    return max((value for value in values if value is not None), default=0.0)


def row_labels(table: Pivot) -> list[str]:
    """The label of each line, that of the totals last."""
    named = [short(label(table.down, row), 160) or EMPTY for row in table.rows]
    return [*named, ALL] if named else []


def heat(table: Pivot, measure: Measure, failure: str = ANY, dark: bool = False) -> Any:
    """A pandas Styler: a row per value, a column per value, totals in the last column and row.

    Numbers are percentages for rates and shares. Cells with few turns are grey, and their rates in
    brackets and uncoloured.
    """
    total, columns, grid = table.total(), heads(table), _grid(table)
    names = [*columns, ALL]
    values = [[_value(cell, measure, total) for cell in cells] for cells in grid]
    frame = pd.DataFrame(values, columns=names, dtype=float)
    frame.insert(0, DIMENSIONS[table.down].label, row_labels(table))
    top = _strongest(table, measure)
    colour = _rgb(COLOURS.get(failure, _ANY_COLOUR))

    def shade(_: pd.DataFrame) -> pd.DataFrame:
        styles = [[""] * frame.shape[1] for _ in range(len(frame))]
        for y, cells in enumerate(grid):
            for x, cell in enumerate(cells):
                value = values[y][x]
                if cell is None or value is None:
                    continue
                if cell.turns < FEW:
                    styles[y][x + 1] = f"color: {GREY[dark]}"
                inner = y < len(table.rows) and (x < len(columns) or not columns)
                if inner and top and _reliable(cell, measure):
                    opacity = SHADES * min(1.0, value / top)
                    styles[y][x + 1] += f"; background-color: rgba({colour}, {opacity:.3f})"
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
                    _format(measure, in_brackets), subset=(rows, [name]), na_rep=EMPTY
                )
    return styler


def heat_map(table: Pivot, measure: Measure, failure: str = ANY, dark: bool = False) -> go.Figure:
    """The same as a figure whose hover says turns, failures, and the rate with its interval.

    Cells are bars, because bars can be clicked: the `customdata` of each begins with the numbers of
    its row and column, -1 for totals.
    """
    total, grid, names = table.total(), _grid(table), row_labels(table)
    columns = [*heads(table), ALL]
    top = _strongest(table, measure)
    colour = _rgb(COLOURS.get(failure, _ANY_COLOUR))
    # The totals stand apart.
    lines = [y + _GAP * (y == len(table.rows)) for y in range(len(grid))]
    starts = [x + (_GAP if x and x == len(columns) - 1 else 0.0) for x in range(len(columns))]
    figure = go.Figure()
    texts: dict[bool, list[tuple[float, float, str]]] = {False: [], True: []}
    for x, name in enumerate(columns):
        fills, data = [], []
        for y, cells in enumerate(grid):
            cell = cells[x]
            value = _value(cell, measure, total)
            inner = y < len(table.rows) and (x < len(columns) - 1 or len(columns) == 1)
            strong = inner and cell and value and top and _reliable(cell, measure)
            opacity = SHADES * min(1.0, (value or 0.0) / top) if strong else 0.0
            fills.append(f"rgba({colour}, {max(opacity, 0.03):.3f})")
            row = y if y < len(table.rows) else -1
            column = x if x < len(columns) - 1 else -1
            where = ", ".join(n for n in (names[y], name if len(columns) > 1 else "") if n)
            data.append((row, column, inert(where, 120), inert(_hover(cell), None)))
            shown = EMPTY if cell is None or value is None else _format(
                measure, not _reliable(cell, measure)
            )(value)  # fmt: skip
            grey = cell is None or cell.turns < FEW
            texts[grey].append((starts[x] + 0.5, lines[y], shown))
        figure.add_bar(
            y=lines,
            x=[1.0] * len(lines),
            base=[starts[x]] * len(lines),
            orientation="h",
            width=0.96,
            marker={"color": fills, "line": {"width": 0}},
            # A click is a filter, not a highlight.
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
            customdata=data,
            hovertemplate="<b>%{customdata[2]}</b><br>%{customdata[3]}<extra></extra>",
            showlegend=False,
        )
    for grey, placed in texts.items():
        figure.add_scatter(
            x=[x for x, _, _ in placed],
            y=[y for _, y, _ in placed],
            text=[text for _, _, text in placed],
            mode="text",
            hoverinfo="skip",
            textfont={"size": 12, "color": (GREY if grey else INK)[dark]},
            showlegend=False,
        )
    room = 18 if len(columns) <= 6 else 10
    return bare(
        figure,
        60 + 28 * max(len(grid), 1),
        barmode="overlay",
        xaxis={
            "range": [0, len(columns) + _GAP],
            "tickmode": "array",
            "tickvals": [start + 0.5 for start in starts],
            "ticktext": [inert(name, room) for name in columns],
            "side": "top",
            "showgrid": False,
            "tickfont": {"color": INK[dark]},
        },
        yaxis={
            **from_the_top(lines, [inert(name, 24) for name in names]),
            "autorange": False,
            "range": [len(grid) - 0.5 + _GAP, -0.5],
            "tickfont": {"color": INK[dark]},
        },
    )


def _hover(cell: Cell | None) -> str:
    if cell is None:
        return "no turns"
    low, high = cell.interval
    few = f"; fewer than {FEW} turns, so the rate is unreliable" if cell.turns < FEW else ""
    return (
        f"{count(cell.turns)} turns, about {count(cell.failures)} failed: {percent(cell.rate)} "
        f"(95 % interval {percent(low)} to {percent(high)} if turns were independent){few}"
    )


def cell_words(table: Pivot, row: str | None, column: str | None, cell: Cell) -> str:
    """A cell in one line: its row and column, turns, failures, and rate with interval."""
    low, high = cell.interval
    where = ALL if row is None else short(label(table.down, row))
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
        "rate": f"Estimated share of a cell’s turns that {what}.",
        "failures": f"Estimated number of turns that {what}.",
        "turns": "Number of turns.",
        "share": f"A cell’s part of all turns that {what}, estimated.",
    }[measure]
    slots = (
        " A turn counts under each of its slots, and once in a total."
        if "slot" in (table.down, table.across)
        else ""
    )
    return (
        f"{text}{slots} The stronger the colour, the more; grey: fewer than {FEW} turns"
        f"{', in brackets' if measure == 'rate' else ''}; {EMPTY}: none. Hover over a cell for its "
        "interval; click it to narrow the filters to it."
    )


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
