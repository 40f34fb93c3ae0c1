"""The answer of a user's own statement as a chart: lines or bars, the axes chosen by the types."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice
from math import isfinite
from typing import Any, Literal, cast

import plotly.graph_objects as go
import pyarrow as pa

from charts.formatting import inert, short
from charts.layout import bare
from charts.palette import COLOURS
from data.errors import UsageError
from data.schema.vocabulary import NAMES

Kind = Literal["line", "bar"]
# Beyond as many points Plotly draws with WebGL, of which browsers allow few charts.
POINTS = 1_000
_SERIES = 8
_TICKS = 40
_HEIGHT = 380
# Told apart on light and dark; besides by dashes, or patterns.
_INKS = ("#4C86B0", "#B0743A", "#8A6FB0", "#5B9077", "#A3586D", "#8A919C")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_PATTERNS = ("", "/", ".", "x", "-", "|")


class Unsuitable(UsageError):
    """An answer that cannot be drawn."""


@dataclass(frozen=True)
class Axes:
    """Names of columns: what runs along x, the numbers, and what splits the numbers into series.

    `x` None stands for the number of the row.
    """

    x: str | None
    y: tuple[str, ...]
    by: str | None = None


def axes(table: pa.Table, kind: Kind) -> Axes:
    """The axes of a chart of the first rows of a table; raises `Unsuitable` if it has no number."""
    numbers, times, others = [], [], []
    for field in table.schema:
        if _is_number(field.type):
            numbers.append(field.name)
        elif _is_time(field.type):
            times.append(field.name)
        else:
            others.append(field.name)
    if not numbers:
        raise Unsuitable(
            "A chart needs a column of numbers, and the result has none; add one, for example "
            "count(*) AS turns."
        )
    # Bars stand side by side for each name, unless days are what runs along.
    named = times + others if kind == "line" or (times and others) else others + times
    if named:
        x, rest = named[0], [name for name in named[1:] if name in others]
        by = rest[0] if rest and _repeats(table[x]) and _few(table[rest[0]]) else None
        return Axes(x, (numbers[0],) if by else tuple(numbers[:_SERIES]), by)
    if len(numbers) > 1:
        return Axes(numbers[0], tuple(numbers[1 : _SERIES + 1]))
    return Axes(None, (numbers[0],))


def chart(table: pa.Table, kind: str) -> go.Figure:
    """Lines or bars of the first `POINTS` rows; raises `Unsuitable` if there is no number."""
    table = table.slice(0, POINTS)
    chosen = axes(table, cast(Kind, kind))
    values: list[Any] = _values(table[chosen.x]) if chosen.x else list(range(1, table.num_rows + 1))
    runs = chosen.x is None
    if chosen.x:
        along = table.schema.field(chosen.x).type
        runs = _is_number(along) or _is_time(along)
    continuous = kind == "line" and runs
    order = sorted(
        (row for row, value in enumerate(values) if not continuous or _drawn(value)),
        key=lambda row: values[row] if continuous else row,
    )
    places: dict[Any, int] = {}
    for row in order:
        places.setdefault(_key(values, row, chosen), len(places))
    figure = go.Figure()
    styles = islice(cycle(zip(_INKS, _DASHES, _PATTERNS, strict=True)), _SERIES + 1)
    for (title, rows, column), (ink, dash, pattern) in zip(
        _series(table, chosen, order), styles, strict=False
    ):
        numbers = _values(table[column])
        x = [values[row] if continuous else places[_key(values, row, chosen)] for row in rows]
        shown: dict[str, Any] = {
            "x": x,
            "y": [_number(numbers[row]) for row in rows],
            "name": inert(title, 40),
            "customdata": [inert(_label(values[row]), 80) for row in rows],
            "hovertemplate": f"%{{customdata}}<br>{inert(title)}: %{{y:,.4~g}}<extra></extra>",
        }
        colour = COLOURS.get(title.removeprefix("p_"), ink)
        if kind == "line":
            mode = "lines+markers" if len(rows) <= 60 else "lines"
            figure.add_scatter(**shown, mode=mode, line={"color": colour, "dash": dash})
        else:
            figure.add_bar(**shown, marker={"color": colour, "pattern": {"shape": pattern}})
    axis: dict[str, Any] = {"title": inert(chosen.x) if chosen.x else "Row", "showgrid": False}
    if not continuous:
        step = -(-len(places) // _TICKS)
        labels = [_label(values[row]) for row in order]
        first = {place: label for label, place in reversed(
            [(label, places[_key(values, row, chosen)])
             for label, row in zip(labels, order, strict=True)])}  # fmt: skip
        axis |= {
            "tickmode": "array",
            "tickvals": list(range(0, len(places), step)),
            "ticktext": [inert(first[n], 24) for n in range(0, len(places), step)],
            # Plotly turns long names by itself, to the right, where it drops the last.
            "tickangle": -35 if len(places) > 8 else 0,
        }
    many = len(figure.data) > 1
    return bare(
        figure,
        _HEIGHT,
        xaxis=axis,
        yaxis={"title": None if many else inert(chosen.y[0]), "rangemode": "tozero"},
        barmode="group",
        showlegend=many,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )


def chart_words(table: pa.Table, kind: str) -> str:
    """What the chart shows, for readers who cannot see it."""
    chosen = axes(table, cast(Kind, kind))
    along = short(chosen.x) if chosen.x else "the number of the row"
    by = f", by {short(chosen.by)}" if chosen.by else ""
    what = {"line": "Lines", "bar": "Bars"}[kind]
    return f"{what} of {', '.join(map(short, chosen.y))} along {along}{by}; the same as the table."


def _series(table: pa.Table, chosen: Axes, order: list[int]) -> list[tuple[str, list[int], str]]:
    """Title, rows, and column of numbers of each series."""
    if chosen.by is None:
        return [(name, order, name) for name in chosen.y]
    groups: dict[str, list[int]] = {}
    values = _values(table[chosen.by])
    for row in order:
        groups.setdefault(_label(values[row]), []).append(row)
    return [(NAMES.get(title, title), rows, chosen.y[0]) for title, rows in groups.items()]


def _key(values: list[Any], row: int, chosen: Axes) -> Any:
    """What shares a place on an axis of names: equal values of different series, else one row."""
    return _label(values[row]) if chosen.by else row


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _repeats(column: pa.ChunkedArray[Any]) -> bool:
    return len({_label(value) for value in _values(column)}) < min(len(column), POINTS)


def _few(column: pa.ChunkedArray[Any]) -> bool:
    if pa.types.is_nested(column.type):
        return False
    return len({_label(value) for value in _values(column)}) <= _SERIES


def _values(column: pa.ChunkedArray[Any]) -> list[Any]:
    """The first values; raises `Unsuitable` for times that no calendar has, such as infinity."""
    try:
        return column.slice(0, POINTS).to_pylist()
    except (OverflowError, ValueError):
        raise Unsuitable(
            "A time in the result lies beyond the calendar, so it cannot be drawn; leave it out."
        ) from None


def _drawn(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not isfinite(value))


def _number(value: Any) -> float | None:
    """As a float, which JSON can hold; None for what is not finite."""
    if value is None:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def _label(value: Any) -> str:
    return "–" if value is None else NAMES.get(str(value), str(value)[:200])
