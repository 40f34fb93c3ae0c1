"""Charts of the Overview: failure shares over time, and per failure point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any

import plotly.graph_objects as go
import pyarrow as pa

from analysis.change_points import Change
from analysis.rates import Estimate
from charts.formatting import (
    count,
    inert,
    percent,
)
from charts.layout import bare, from_the_top, upright, whiskers
from charts.palette import COLOURS, NEUTRAL, TEXT_ON
from charts.sentences import (
    change_words,
    changes_words,
    day_words,
    release_words,
    releases_words,
)
from data.queries.overview import Grain
from data.queries.releases import Release
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES

_STEP = {"day": 86_400_000, "week": 7 * 86_400_000, "month": "M1"}
_TITLE = {
    "day": "%{x|%-d %B %Y}",
    "week": "week from %{x|%-d %B %Y}",
    "month": "%{x|%B %Y}",
}


# Part of the width that a name needs on a phone; a name without room is in the hover text only.
_NAME = 1 / 30


def trend(
    table: pa.Table,
    by: Grain,
    releases: Sequence[Release] = (),
    changes: Sequence[Change] = (),
    height: int = 340,
) -> go.Figure:
    """Stacked share of the five failures per period of a `data.queries.overview.trend` table.

    Releases are thin lines with their names; changes are numbered marks above the bars, in the
    order given.
    """
    figure = go.Figure()
    days: list[Any] = table["day"].to_pylist()
    turns: list[Any] = table["turns"].to_pylist()
    for name in FAILURES:
        sums: list[Any] = table[f"p_{name}"].to_pylist()
        shares = [s / n if n else 0.0 for s, n in zip(sums, turns, strict=True)]
        figure.add_bar(
            x=days,
            y=shares,
            name=NAMES[name],
            marker={"color": COLOURS[name], "line": {"width": 0}},
            xperiod=_STEP[by],
            xperiodalignment="middle",
            customdata=[
                (percent(share), count(total), count(n))
                for share, total, n in zip(shares, sums, turns, strict=True)
            ],
            hovertemplate="%{customdata[0]}, about %{customdata[1]} of %{customdata[2]} turns",
        )
    marked = bool(days) and bool(releases or changes)
    top = max(_heights(table), default=0.0) or 0.01
    lines, names = _release_marks(releases, _span(days)) if marked else ([], [])
    # Plotly would label hours when there are only a day or two to show.
    short = len(days) == 1 or (by == "day" and _span(days) < 8)
    ticks = {"tickmode": "array", "tickvals": _middles(days, by), "ticktext": _labels(days)}
    return bare(
        figure,
        height,
        barmode="stack",
        bargap=0.15,
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "y": 1.04, "yanchor": "bottom", "traceorder": "normal"},
        shapes=lines,
        annotations=[*names, *(_change_marks(changes, top * 1.07) if marked else [])],
        xaxis={
            "type": "date",
            "unifiedhovertitle": {"text": _TITLE[by]},
            "tickformatstops": [
                {"dtickrange": [None, 86_400_000 * 27], "value": "%-d %b\n%Y"},
                {"dtickrange": [86_400_000 * 27, None], "value": "%b\n%Y"},
            ],
            "nticks": 8,
            **(ticks if short else {}),
        },
        yaxis={
            "tickformat": ".0%",
            "rangemode": "tozero",
            **({"range": [0, top * (1.45 if releases else 1.15)]} if marked else {}),
            # No tick labels in the room for names above the bars.
            **({"tickvals": [0, 0.2, 0.4, 0.6, 0.8, 1.0]} if marked and top > 0.6 else {}),
        },
    )


def trend_words(
    table: pa.Table, by: Grain, releases: Sequence[Release] = (), changes: Sequence[Change] = ()
) -> str:
    """What the trend shows, as text for readers who cannot see it."""
    shares = _heights(table)
    if not shares:
        return "No turns in this period."
    top = shares.index(max(shares))
    parts = [
        f"Stacked bars, one per {by}: estimated share of turns that failed, by failure point. "
        f"Between {percent(min(shares))} and {percent(max(shares))}, highest from "
        f"{table['day'].to_pylist()[top]:%-d %B %Y}."
    ]
    if releases:
        parts.append(releases_words(releases))
    if changes:
        parts.append(f"Changes: {changes_words(changes)}")
    return " ".join(parts)


def _heights(table: pa.Table) -> list[float]:
    """Height of each stacked bar: the share of turns that failed."""
    turns: list[Any] = table["turns"].to_pylist()
    columns = (table[f"p_{name}"].to_pylist() for name in FAILURES)
    return [sum(parts) / n if n else 0.0 for n, *parts in zip(turns, *columns, strict=True)]


def _release_marks(
    releases: Sequence[Release], span: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A line at the start of each day with a release, and the names of its releases beside it."""
    lines: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    named: date | None = None
    for day, same in groupby(releases, key=lambda release: release.day):
        lines.append(upright(str(day), dash="dot"))
        names = ", ".join(inert(release_words(release), 24) for release in same)
        room = named is None or (day - named).days >= span * _NAME
        named = day if room else named
        labels.append(
            {
                "x": str(day),
                "y": 1,
                "yref": "paper",
                "text": names if room else "\u2002",
                "hovertext": f"{names} · {day_words(day)}",
                "textangle": -90,
                "xanchor": "left",
                "yanchor": "top",
                "xshift": -1,
                "showarrow": False,
                "font": {"size": 10},
            }
        )
    return lines, labels


def _change_marks(changes: Sequence[Change], height: float) -> list[dict[str, Any]]:
    """A number above the first day of each change, in the colour of its failure point."""
    marks: list[dict[str, Any]] = []
    for number, change in enumerate(changes, 1):
        same = [other.start for other in changes[: number - 1]].count(change.start)
        marks.append(
            {
                "x": f"{change.start} 12:00",
                "y": height,
                "yshift": 17 * same,
                "text": f"<b>{number}</b>",
                "hovertext": inert(change_words(change), 200),
                "showarrow": False,
                "bgcolor": COLOURS[change.failure_point],
                "borderpad": 2,
                "font": {"size": 11, "color": TEXT_ON[change.failure_point]},
            }
        )
    return marks


def shares(
    rates: Mapping[str, Estimate],
    before: Mapping[str, float] | None = None,
    height: int = 340,
) -> go.Figure:
    """Estimated share of each failure point with its interval, in pipeline order, top to bottom.

    `before`, the shares of the period before, are hollow marks.
    """
    figure = go.Figure()
    estimates = [rates[name] for name in FAILURES]
    labels = [NAMES[name] for name in FAILURES]
    figure.add_bar(
        x=[e.value for e in estimates],
        y=labels,
        orientation="h",
        marker={"color": [COLOURS[name] for name in FAILURES], "line": {"width": 0}},
        error_x=whiskers(
            [e.value for e in estimates],
            [e.low for e in estimates],
            [e.high for e in estimates],
            thickness=1.5,
            width=4,
        ),
        customdata=[
            (
                percent(e.value),
                percent(e.low),
                percent(e.high),
                count(e.value * e.turns),
            )
            for e in estimates
        ],
        hovertemplate="%{y}: %{customdata[0]} (%{customdata[1]} to %{customdata[2]}), "
        "about %{customdata[3]} turns<extra></extra>",
        showlegend=False,
    )
    if before:
        figure.add_scatter(
            x=[before[name] for name in FAILURES],
            y=labels,
            mode="markers",
            name="period before",
            marker={"symbol": "line-ns-open", "size": 22, "color": NEUTRAL, "line": {"width": 2}},
            customdata=[percent(before[name]) for name in FAILURES],
            hovertemplate="%{y}, period before: %{customdata}<extra></extra>",
        )
    bare(
        figure,
        height,
        bargap=0.45,
        legend={"orientation": "h", "x": 0, "y": 1.04, "yanchor": "bottom"},
        xaxis={"tickformat": ".0%", "rangemode": "tozero", "nticks": 5},
        yaxis=from_the_top(
            labels,
            [
                f"{label}  <b>{percent(estimate.value)}</b>"
                for label, estimate in zip(labels, estimates, strict=True)
            ],
        ),
    )
    return figure


def shares_words(rates: Mapping[str, Estimate]) -> str:
    """The shares, as text for readers who cannot see the chart."""
    parts = [f"{NAMES[name]} {percent(rates[name].value)}" for name in FAILURES]
    return "Estimated share of turns per failure point: " + ", ".join(parts) + "."


def _span(days: list[date]) -> int:
    return (days[-1] - days[0]).days + 1 if days else 0


def _middles(days: list[date], by: Grain) -> list[str]:
    hours = {"day": 12, "week": 84, "month": 365}[by]
    return [f"{day + (date.resolution * (hours // 24))} {hours % 24:02d}:00" for day in days]


def _labels(days: list[date]) -> list[str]:
    return [f"{day:%-d %b}<br>{day:%Y}" for day in days]
