"""Charts of the report as shapes with positions and sizes; the template draws them as SVG.

Plotly would need a browser to draw them, or four megabytes of script in every report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from math import ceil, log10
from typing import Any

import pyarrow as pa

from analysis.change_points import Change
from charts.formatting import (
    count,
    percent,
    short,
)
from charts.layout import levels
from charts.palette import COLOURS, TEXT_ON
from charts.sentences import change_words, day_name, day_words, release_words
from data.queries.overview import Grain
from data.queries.releases import Release
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES

# Widths in pixels of the chart: of a screen or a sheet, and of a phone.
WIDTH, NARROW = 960, 360
_LEFT, _RIGHT, _BOTTOM = 44, 8, 40
# Heights in pixels of the bars, of a letter in the name of a release, and of a row of changes.
_BARS, _LETTER, _ROW = 180, 6.2, 19
# Two releases closer than this, in pixels, leave no room for the name of the later one.
_NAME_GAP = 13


@dataclass(frozen=True)
class Box:
    """A rectangle and its tooltip."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    title: str


@dataclass(frozen=True)
class Mark:
    """A text or a line at a position, and its tooltip; `ink` is the colour of text on `colour`."""

    x: float
    y: float
    text: str
    title: str = ""
    colour: str = ""
    ink: str = ""


@dataclass(frozen=True)
class Trend:
    """The stacked bars over time and what is drawn on them, in pixels from the top left corner.

    `target` is the line at the targets, its text above it; `names` is where the names of releases
    end and their lines begin.
    """

    bars: list[Box]
    rules: list[Mark]
    days: list[Mark]
    releases: list[Mark]
    changes: list[Mark]
    target: Mark | None
    width: float
    names: float
    top: float
    left: float = _LEFT

    @property
    def right(self) -> float:
        return self.width - _RIGHT

    @property
    def bottom(self) -> float:
        return self.top + _BARS

    @property
    def height(self) -> float:
        return self.bottom + _BOTTOM


def trend(
    table: pa.Table,
    by: Grain,
    releases: Sequence[Release],
    changes: Sequence[Change],
    target: float | None = None,
    width: int = WIDTH,
) -> Trend:
    """Stacked shares per period of a table of `data.queries.overview.trend` with at least a row.

    `target` is the share of a line, see `charts.rates.target_level`.
    """
    days: list[Any] = table["day"].to_pylist()
    turns: list[Any] = table["turns"].to_pylist()
    first, last = days[0], _end(days[-1], by)
    per_day = (width - _LEFT - _RIGHT) / max((last - first).days, 1)
    columns: dict[str, list[Any]] = {n: table[f"p_{n}"].to_pylist() for n in FAILURES}
    heights = [sum(columns[n][i] for n in FAILURES) / max(turns[i], 1) for i in range(len(days))]
    step, top = _scale(max(*heights, target or 0.0, 0.0))

    def x(day: date) -> float:
        return float(_LEFT + min(max((day - first).days, 0), (last - first).days) * per_day)

    rows = levels([x(change.start) for change in changes], _ROW)
    named = _releases(releases, x)
    names = _LETTER * max((len(mark.text) for mark in named), default=0) + 4
    above = names + _ROW * (max(rows, default=-1) + 1) + 10
    per_share, base = _BARS / top, above + _BARS
    bars = []
    for i, day in enumerate(days):
        broad = x(_end(day, by)) - x(day)
        y = float(base)
        for name in FAILURES:
            share = columns[name][i] / max(turns[i], 1)
            height = share * per_share
            y -= height
            title = (
                f"{NAMES[name]}, {day_words(day, True)}: {percent(share)}, about "
                f"{count(columns[name][i])} of {count(turns[i])} turns"
            )
            bars.append(Box(x(day) + 0.06 * broad, y, 0.88 * broad, height, COLOURS[name], title))
    rules = [
        Mark(_LEFT, base - k * step * per_share, f"{100 * k * step:g} %")
        for k in range(round(top / step) + 1)
    ]
    # A date needs about a hundred pixels.
    every = max(ceil(len(days) / (width // 100)), 1)
    with_year = len({day.year for day in days}) > 1
    dates = [
        Mark((x(day) + x(_end(day, by))) / 2, base, f"{day.day} {day:%b}{f' {day:%Y}' * with_year}")
        for day in days[::every]
    ]
    line = None
    if target is not None:
        line = Mark(width - _RIGHT, base - target * per_share, f"target {percent(target)}")
    marks = _changes(changes, rows, x, above)
    return Trend(bars, rules, dates, named, marks, line, width, names, above)


def _end(day: date, by: Grain) -> date:
    """The first day of the next period."""
    if by == "month":
        return date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return date.fromordinal(day.toordinal() + (7 if by == "week" else 1))


def _scale(most: float) -> tuple[float, float]:
    """A round step between the rules, and the value of the highest rule."""
    most = max(most, 0.001)
    raw = most / 4
    size: float = 10.0 ** int(log10(raw) - (log10(raw) < 0))
    step = next(size * k for k in (1, 2, 5, 10) if size * k >= raw * 0.999)
    return step, step * ceil(most / step - 1e-9)


def _releases(releases: Sequence[Release], x: Callable[[date], float]) -> list[Mark]:
    marks: list[Mark] = []
    last_named = float(-_NAME_GAP)
    for day, of_day in groupby(releases, key=lambda release: release.day):
        titles = [release_words(release) for release in of_day]
        names = ", ".join(short(title, 24) for title in titles)
        has_room = x(day) - last_named >= _NAME_GAP
        last_named = x(day) if has_room else last_named
        shown = day_name(titles) if has_room else ""
        marks.append(Mark(x(day), 0, shown, f"{names}, {day_words(day, True)}"))
    return marks


def _changes(
    changes: Sequence[Change], rows: Sequence[int], x: Callable[[date], float], top: float
) -> list[Mark]:
    marks = []
    for number, (change, row) in enumerate(zip(changes, rows, strict=True), 1):
        colour, ink = COLOURS[change.failure_point], TEXT_ON[change.failure_point]
        middle = (x(change.start) + x(change.start + timedelta(days=1))) / 2
        y = top - 10 - _ROW * row
        marks.append(Mark(middle, y, str(number), change_words(change), colour, ink))
    return marks


def line(values: Sequence[float], width: int = 200, height: int = 36) -> str:
    """Points of an SVG polyline on a scale from 0 to the largest value.

    Empty for fewer than two values.
    """
    if len(values) < 2:
        return ""
    most = max(values) or 1.0
    per_value = width / (len(values) - 1)
    return " ".join(
        f"{i * per_value:.1f},{height - 2 - (height - 4) * value / most:.1f}"
        for i, value in enumerate(values)
    )
