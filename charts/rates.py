"""Charts of the Overview: failure shares over time, and per failure point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
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
from charts.layout import bare, from_the_top, levels, upright, whiskers
from charts.palette import COLOURS, NEUTRAL, TEXT_ON
from charts.sentences import (
    change_words,
    changes_words,
    day_name,
    day_words,
    release_words,
    releases_words,
)
from data.queries.overview import Grain
from data.queries.releases import Release
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES

_STEP = {"day": 86_400_000, "week": 7 * 86_400_000, "month": "M1"}
_MILLISECONDS = {by: days * 86_400_000 for by, days in (("day", 1), ("week", 7), ("month", 30))}
_TITLE = {
    "day": "%{x|%-d %B %Y}",
    "week": "week from %{x|%-d %B %Y}",
    "month": "%{x|%B %Y}",
}


# Part of the width that a name needs on a phone; a name without room is in the hover text only.
_NAME = 1 / 24
# Release names stand above the bars: pixels of a letter (10 px, rotated).
_PER_LETTER = 6.2


def trend(
    table: pa.Table,
    by: Grain,
    releases: Sequence[Release] = (),
    changes: Sequence[Change] = (),
    height: int = 320,
    *,
    only: str | None = None,
    target: float | None = None,
) -> go.Figure:
    """Stacked share of the five failures per period of a `data.queries.overview.trend` table.

    Releases are thin lines with their names above the chart; changes are numbered marks above the
    bars, in the order given. `only` one failure point, if given; `target` is the share of a line,
    see `target_level`. The figure is `height` pixels high, and as much more as names need.
    """
    figure = go.Figure()
    days: list[Any] = table["day"].to_pylist()
    turns: list[Any] = table["turns"].to_pylist()
    drawn = (only,) if only else FAILURES
    for name in drawn:
        sums: list[Any] = table[f"p_{name}"].to_pylist()
        shares = [s / n if n else 0.0 for s, n in zip(sums, turns, strict=True)]
        figure.add_bar(
            x=days,
            y=shares,
            name=NAMES[name],
            marker={"color": COLOURS[name], "line": {"width": 0}},
            xperiod=_STEP[by],
            xperiodalignment="middle",
            # Plotly makes a single bar a millisecond wide.
            **({"width": _MILLISECONDS[by] * 0.85} if len(days) == 1 else {}),
            customdata=[
                (percent(share), count(total), count(n))
                for share, total, n in zip(shares, sums, turns, strict=True)
            ],
            hovertemplate="%{customdata[0]}, about %{customdata[1]} of %{customdata[2]} turns",
        )
    marks, rows = _change_marks(changes, drawn, _span(days)) if days else ([], 0)
    highest = max([*_heights(table, drawn), target or 0.0], default=0.0) or 0.01
    lines, names, band = _release_marks(releases, _span(days)) if days else ([], [], 0)
    if target is not None and days:
        lines.append(_target_line(target))
        names.append(_target_name(target))
    return bare(
        figure,
        height + band,
        margin={"t": band + 8, "r": 14 if target is None else 48},
        barmode="stack",
        bargap=0.15,
        hovermode="x unified",
        # The page draws the key above the chart, where it can wrap on a phone.
        showlegend=False,
        shapes=lines,
        annotations=[*names, *marks],
        xaxis=_time_axis(days, by),
        yaxis={
            "tickformat": ".1%" if highest < 0.03 else ".0%",
            "range": [0, highest * (1.08 + 0.07 * rows)],
            # No tick labels in the room for marks above the bars.
            **({"tickvals": [0, 0.2, 0.4, 0.6, 0.8, 1.0]} if highest > 0.6 else {"nticks": 6}),
        },
    )


def target_level(
    targets: Mapping[str, float], rates: Mapping[str, Estimate], only: str | None = None
) -> float | None:
    """The height of the trend's bars at the targets; None without any.

    For all failure points together, those without a target count as their rate of the period, so
    that bars above the line cost more than the targets allow.
    """
    if only:
        return targets.get(only)
    if not any(name in targets for name in FAILURES):
        return None
    return sum(targets.get(name, rates[name].value) for name in FAILURES)


def _target_line(target: float) -> dict[str, Any]:
    ends = {"x0": 0, "x1": 1, "xref": "paper", "y0": target, "y1": target}
    line = {"color": NEUTRAL, "width": 2, "dash": "dash"}
    return {"type": "line", **ends, "line": line, "name": "target"}


def _target_name(target: float) -> dict[str, Any]:
    """The name of the line, in the margin right of it, where it covers no bar."""
    return {
        "x": 1,
        "xref": "paper",
        "xanchor": "left",
        "xshift": 3,
        "y": target,
        "text": f"target<br>{percent(target)}",
        "align": "left",
        "showarrow": False,
        "font": {"size": 11},
    }


def _time_axis(days: list[date], by: Grain) -> dict[str, Any]:
    """Dates under the middle of their bars; few of them are labelled one by one."""
    axis: dict[str, Any] = {
        "type": "date",
        "unifiedhovertitle": {"text": _TITLE[by]},
        "tickformatstops": [
            {"dtickrange": [None, 86_400_000 * 27], "value": "%-d %b\n%Y"},
            {"dtickrange": [86_400_000 * 27, None], "value": "%b\n%Y"},
        ],
        "nticks": 8,
        "tickangle": 0,
    }
    # Plotly would label hours when there are only a day or two to show.
    if len(days) == 1 or (by == "day" and _span(days) < 8):
        axis |= {"tickmode": "array", "tickvals": _middles(days, by), "ticktext": _labels(days)}
    if len(days) == 1:
        # One bar among empty days, not a wall as wide as the page.
        around = {"day": 3, "week": 21, "month": 92}[by]
        middle = datetime.fromisoformat(_middles(days, by)[0])
        axis["range"] = [str(middle - timedelta(around)), str(middle + timedelta(around))]
    return axis


def trend_words(
    table: pa.Table,
    by: Grain,
    releases: Sequence[Release] = (),
    changes: Sequence[Change] = (),
    *,
    only: str | None = None,
    target: float | None = None,
) -> str:
    """What the trend shows, as text for readers who cannot see it."""
    shares = _heights(table, (only,) if only else FAILURES)
    if not shares:
        return "No turns in this period."
    days: list[Any] = table["day"].to_pylist()
    top = shares.index(max(shares))
    parts = [
        f"Bars, one per {by}: estimated share of turns that failed at {NAMES[only]}. "
        if only
        else f"Stacked bars, one per {by}: estimated share of turns that failed, by failure point. "
    ]
    parts[0] += (
        f"Between {percent(min(shares))} and {percent(max(shares))}, highest from "
        f"{day_words(days[top], True)}."
    )
    if target is not None:
        parts.append(f"A dashed line at the target, {percent(target)}.")
    if releases:
        parts.append(releases_words(releases))
    if changes:
        parts.append(f"Changes: {changes_words(changes)}")
    return " ".join(parts)


def _heights(table: pa.Table, names: Sequence[str]) -> list[float]:
    """Height of each stacked bar: the share of turns that failed."""
    turns: list[Any] = table["turns"].to_pylist()
    columns = (table[f"p_{name}"].to_pylist() for name in names)
    return [sum(parts) / n if n else 0.0 for n, *parts in zip(turns, *columns, strict=True)]


def _release_marks(
    releases: Sequence[Release], span: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int]:
    """A line at the start of each day with a release, the names above, and the pixels they need."""
    lines: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    named: date | None = None
    longest = 0
    for day, same in groupby(releases, key=lambda release: release.day):
        lines.append(upright(str(day), dash="dot"))
        titles = [release_words(release) for release in same]
        names = ", ".join(inert(title, 24) for title in titles)
        room = named is None or (day - named).days >= span * _NAME
        named = day if room else named
        text = day_name(titles)
        longest = max(longest, len(text) if room else 0)
        labels.append(
            {
                "x": str(day),
                "y": 1,
                "yref": "paper",
                "text": inert(text) if room else "\u2002",
                "hovertext": f"{names} · {day_words(day)}",
                "textangle": -90,
                "xanchor": "center",
                "yanchor": "bottom",
                "yshift": 2,
                "showarrow": False,
                "font": {"size": 10},
            }
        )
    return lines, labels, round(longest * _PER_LETTER)


def _change_marks(
    changes: Sequence[Change], names: Sequence[str], span: int
) -> tuple[list[dict[str, Any]], int]:
    """A number at the top above the first day of each change, in the colour of its failure point.

    Of the failure points `names`; the numbers count the others too. Also how many rows they take.
    """
    drawn = [(n, change) for n, change in enumerate(changes, 1) if change.failure_point in names]
    rows = levels([change.start.toordinal() for _, change in drawn], span * _NAME)
    marks = [
        {
            "x": f"{change.start} 12:00",
            "y": 1,
            "yref": "paper",
            "yanchor": "top",
            "yshift": -17 * row,
            "text": f"<b>{number}</b>",
            "hovertext": inert(change_words(change), 200),
            "showarrow": False,
            "bgcolor": COLOURS[change.failure_point],
            "borderpad": 2,
            "font": {"size": 11, "color": TEXT_ON[change.failure_point]},
        }
        for (number, change), row in zip(drawn, rows, strict=True)
    ]
    return marks, max(rows, default=-1) + 1


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
