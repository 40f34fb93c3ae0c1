"""Charts of the report as shapes with places and sizes, which the template draws as SVG.

Plotly would need a browser to draw them, or four megabytes of script in every mail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
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
from charts.palette import COLOURS, TEXT_ON
from charts.sentences import change_words, day_words, release_words
from data.queries.overview import Grain
from data.queries.releases import Release
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES

WIDTH, HEIGHT = 960, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 84, 40
# Pixels between the names of two releases, below which the later one has no room.
_NAME = 13


@dataclass(frozen=True)
class Box:
    """A rectangle and what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    title: str


@dataclass(frozen=True)
class Mark:
    """A text or a line at a place."""

    x: float
    y: float
    text: str
    title: str = ""
    colour: str = ""
    ink: str = ""


@dataclass(frozen=True)
class Trend:
    """Everything of the stacked bars over time, in pixels from the upper left corner."""

    bars: list[Box]
    rules: list[Mark]
    days: list[Mark]
    releases: list[Mark]
    changes: list[Mark]
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM


def trend(
    table: pa.Table, by: Grain, releases: Sequence[Release], changes: Sequence[Change]
) -> Trend:
    """Stacked shares per period of a `data.queries.overview.trend` table, which must not be
    empty."""
    days: list[Any] = table["day"].to_pylist()
    turns: list[Any] = table["turns"].to_pylist()
    first, last = days[0], _end(days[-1], by)
    across = (WIDTH - _LEFT - _RIGHT) / max((last - first).days, 1)
    columns: dict[str, list[Any]] = {n: table[f"p_{n}"].to_pylist() for n in FAILURES}
    heights = [sum(columns[n][i] for n in FAILURES) / max(turns[i], 1) for i in range(len(days))]
    step, top = _scale(max(heights))
    up = (HEIGHT - _TOP - _BOTTOM) / top
    base = HEIGHT - _BOTTOM

    def x(day: date) -> float:
        return float(_LEFT + min(max((day - first).days, 0), (last - first).days) * across)

    bars = []
    for i, day in enumerate(days):
        wide = x(_end(day, by)) - x(day)
        y = float(base)
        for name in FAILURES:
            share = columns[name][i] / max(turns[i], 1)
            y -= share * up
            title = (
                f"{NAMES[name]}, {day_words(day, True)}: {percent(share)}, about "
                f"{count(columns[name][i])} of {count(turns[i])} turns"
            )
            bars.append(Box(x(day) + 0.06 * wide, y, 0.88 * wide, share * up, COLOURS[name], title))
    rules = [
        Mark(_LEFT, base - k * step * up, f"{100 * k * step:g} %")
        for k in range(round(top / step) + 1)
    ]
    # About eight dates, wherever they fall.
    every = max(ceil(len(days) / 8), 1)
    years = len({day.year for day in days}) > 1
    dates = [
        Mark((x(day) + x(_end(day, by))) / 2, base, f"{day.day} {day:%b}{f' {day:%Y}' * years}")
        for day in days[::every]
    ]
    return Trend(bars, rules, dates, _releases(releases, x), _changes(changes, x))


def _end(day: date, by: Grain) -> date:
    """The first day of the next period."""
    if by == "month":
        return date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return date.fromordinal(day.toordinal() + (7 if by == "week" else 1))


def _scale(most: float) -> tuple[float, float]:
    """A round step between rules, and the highest rule."""
    most = max(most, 0.001)
    raw = most / 4
    size: float = 10.0 ** int(log10(raw) - (log10(raw) < 0))
    step = next(size * k for k in (1, 2, 5, 10) if size * k >= raw * 0.999)
    return step, step * ceil(most / step - 1e-9)


def _releases(releases: Sequence[Release], x: Any) -> list[Mark]:
    found: list[Mark] = []
    room = -_NAME
    for day, same in groupby(releases, key=lambda one: one.day):
        names = ", ".join(short(release_words(one), 24) for one in same)
        named = x(day) - room >= _NAME
        room = x(day) if named else room
        found.append(Mark(x(day), 0, short(names, 30) if named else "", f"{names}, {day}"))
    return found


def _changes(changes: Sequence[Change], x: Any) -> list[Mark]:
    found = []
    for number, one in enumerate(changes, 1):
        same = [other.start for other in changes[: number - 1]].count(one.start)
        colour, ink = COLOURS[one.failure_point], TEXT_ON[one.failure_point]
        place = (x(one.start) + x(date.fromordinal(one.start.toordinal() + 1))) / 2
        found.append(
            Mark(place, _TOP - 10 - 19 * same, str(number), change_words(one), colour, ink)
        )
    return found


def line(values: Sequence[float], width: int = 200, height: int = 36) -> str:
    """Points of an SVG polyline from 0 to the largest value; empty for fewer than two."""
    if len(values) < 2:
        return ""
    most = max(values) or 1.0
    across = width / (len(values) - 1)
    return " ".join(
        f"{i * across:.1f},{height - 2 - (height - 4) * value / most:.1f}"
        for i, value in enumerate(values)
    )
