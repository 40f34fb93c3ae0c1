"""Charts of the Triage page: a slice over time, and distributions inside it against the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

import plotly.graph_objects as go
import pyarrow as pa

from charts.formatting import count, inert, percent
from charts.layout import bare, note, upright
from charts.palette import NEUTRAL, colour_of
from data.intervals import wilson
from data.queries.overview import grain

# The most points of a sparkline.
_SPARK_POINTS = 40
_SMALL = {"size": 11}


class Step(NamedTuple):
    """A day, week or month: rates of the turns in a slice, with interval, and of the rest.

    `day` is its first; a rate is None where there are no turns.
    """

    day: date
    turns: int
    rate: float | None
    low: float
    high: float
    rest: float | None


def steps(days: pa.Table) -> list[Step]:
    """A `data.queries.slices.daily` table by day, week or month, depending on its length."""
    rows: list[dict[str, Any]] = days.to_pylist()
    if not rows:
        return []
    by = grain(rows[0]["day"], rows[-1]["day"])
    # Up to 60 days stay days: this chart is narrow, and changes to weeks sooner than a wide one.
    by = "week" if by == "day" and (rows[-1]["day"] - rows[0]["day"]).days > 60 else by
    sums: dict[date, list[float]] = {}
    for row in rows:
        day = row["day"]
        if by != "day":
            offset = day.weekday() if by == "week" else day.day - 1
            day -= timedelta(days=offset)
        period = sums.setdefault(day, [0.0] * 4)
        for i, name in enumerate(("turns", "total", "all_turns", "all_total")):
            period[i] += row[name]
    result = []
    for day, (n, total, everything, failed) in sums.items():
        low, high = wilson(total, n)
        others = everything - n
        result.append(
            Step(
                day,
                int(n),
                total / n if n else None,
                low,
                high,
                max(0.0, failed - total) / others if others else None,
            )
        )
    return result


def trend(
    days: pa.Table,
    point: str,
    releases: Mapping[date, str],
    height: int = 250,
    other: pa.Table | None = None,
) -> go.Figure:
    """The slice's rate with its interval, the rate of the rest, and releases as vertical lines.

    With the days of an `other` slice, its rate takes the place of that of the rest.
    """
    all_steps = steps(days)
    name = "all other turns" if other is None else "compared slice"
    baseline = (
        [(step.day, step.rest) for step in all_steps]
        if other is None
        else [(step.day, step.rate) for step in steps(other)]
    )
    inside = [step for step in all_steps if step.rate is not None]
    colour = colour_of(point)
    figure = go.Figure()
    x = [step.day for step in inside]
    figure.add_scatter(
        x=[*x, *reversed(x)],
        y=[*(step.high for step in inside), *(step.low for step in reversed(inside))],
        mode="lines",
        fill="toself",
        fillcolor=_faint(colour),
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=[day for day, _ in baseline],
        y=[rate for _, rate in baseline],
        mode="lines",
        name=name,
        line={"color": NEUTRAL, "width": 1.5, "dash": "dot"},
        customdata=[percent(rate or 0.0) for _, rate in baseline],
        hovertemplate=f"{name} %{{customdata}}<extra></extra>",
    )
    figure.add_scatter(
        x=x,
        y=[step.rate for step in inside],
        mode="lines+markers",
        name="this slice",
        line={"color": colour, "width": 2},
        marker={"size": 5},
        customdata=[
            (percent(s.rate or 0.0), percent(s.low), percent(s.high), count(s.turns))
            for s in inside
        ],
        hovertemplate="%{customdata[0]} (%{customdata[1]} to %{customdata[2]}) of "
        "%{customdata[3]} turns<extra></extra>",
    )
    length = (all_steps[-1].day - all_steps[0].day).days if all_steps else 0
    lines = [
        {**upright(day.isoformat()), "opacity": 0.7, "layer": "below"} for day in sorted(releases)
    ]
    bare(
        figure,
        height,
        hovermode="x unified",
        margin={"t": 46},
        legend={"orientation": "h", "x": 0, "y": -0.16, "yanchor": "top"},
        shapes=lines,
        annotations=_release_names(releases, 0.2 * length),
        xaxis={"type": "date", "nticks": 6, "tickformat": "%-d %b"},
        yaxis={"tickformat": ".0%", "rangemode": "tozero", "nticks": 5},
    )
    return figure


def _release_names(releases: Mapping[date, str], room: float) -> list[dict[str, Any]]:
    """Labels above the chart; those closer than `room` days to the last alternate in height."""
    labels: list[dict[str, Any]] = []
    previous: date | None = None
    raised = 0
    for day, name in sorted(releases.items()):
        close = previous is not None and (day - previous).days < room
        raised = (raised + 1) % 3 if close else 0
        previous = day
        text = inert(name, None)
        labels.append(note(day.isoformat(), text, yshift=13 * raised, font=_SMALL))
    return labels


def trend_words(days: pa.Table, releases: Mapping[date, str]) -> str:
    """What the trend shows, as text for readers who cannot see it."""
    inside = [step for step in steps(days) if step.rate is not None]
    if not inside:
        return "No turns of this slice in this period."
    top = max(inside, key=lambda step: step.rate or 0.0)
    listed = "; ".join(f"{name} on {day:%-d %B %Y}" for day, name in releases.items())
    return (
        f"Line of the slice’s estimated failure rate, with its interval, against all other turns. "
        f"Highest from {top.day:%-d %B %Y}: {percent(top.rate or 0.0)} of {count(top.turns)} "
        f"turns. Last: {percent(inside[-1].rate or 0.0)}."
        + (f" Releases: {listed}." if listed else "")
    )


def spark(days: pa.Table) -> list[float | None]:
    """The rate over time in at most `_SPARK_POINTS` equal parts; None where there were no turns."""
    turns: list[Any] = days["turns"].to_pylist()
    total: list[Any] = days["total"].to_pylist()
    size = -(-len(turns) // _SPARK_POINTS) or 1
    rates: list[float | None] = []
    for start in range(0, len(turns), size):
        n = sum(turns[start : start + size])
        rates.append(sum(total[start : start + size]) / n if n else None)
    return rates


def distribution(
    table: pa.Table, point: str, what: str, threshold: float | None = None, height: int = 200
) -> go.Figure:
    """Shares per step of 0.05: bars inside, a line for the rest; columns step, inside, rest."""
    rows = {row["step"]: row for row in table.to_pylist()}
    x = [0.05 * step + 0.025 for step in range(20)]
    inside = [rows.get(step, {}).get("inside", 0) for step in range(20)]
    rest = [rows.get(step, {}).get("rest", 0) for step in range(20)]
    figure = go.Figure()
    for values, name in ((inside, "this slice"), (rest, "all other turns")):
        total = sum(values) or 1
        shares = [value / total for value in values]
        texts = [
            f"{what} {0.05 * step:.2f} to {0.05 * (step + 1):.2f}: {percent(share)} of {name}, "
            f"{count(value)} turns"
            for step, (share, value) in enumerate(zip(shares, values, strict=True))
        ]
        if name == "this slice":
            figure.add_bar(
                x=x,
                y=shares,
                width=0.045,
                name=name,
                marker={"color": colour_of(point), "line": {"width": 0}},
                customdata=texts,
                hovertemplate="%{customdata}<extra></extra>",
            )
        else:
            figure.add_scatter(
                x=x,
                y=shares,
                name=name,
                mode="lines",
                line={"color": NEUTRAL, "width": 2, "shape": "hvh"},
                customdata=texts,
                hovertemplate="%{customdata}<extra></extra>",
            )
    lines, names = [], []
    if threshold is not None:
        lines.append(upright(threshold, width=1.5, dash="dash"))
        words = f" threshold {threshold:.2f}"
        names.append(note(threshold, words, xanchor="left", yanchor="auto", font=_SMALL))
    bare(
        figure,
        height,
        bargap=0,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        shapes=lines,
        annotations=names,
        xaxis={"range": [0, 1], "tickvals": [0, 0.25, 0.5, 0.75, 1]},
        yaxis={"tickformat": ".0%", "rangemode": "tozero", "nticks": 4},
    )
    return figure


def distribution_words(table: pa.Table, what: str) -> str:
    """The most frequent step of the slice and of the rest, for readers who cannot see the chart."""
    modes = []
    for side, name in (("inside", "this slice"), ("rest", "all other turns")):
        values: Sequence[Any] = table[side].to_pylist()
        if sum(values):
            bins: Sequence[Any] = table["step"].to_pylist()
            step = bins[values.index(max(values))]
            modes.append(f"{name} most often {0.05 * step:.2f} to {0.05 * (step + 1):.2f}")
    return f"Histogram of {what}: {'; '.join(modes) or 'no turns'}."


def hours(table: pa.Table, point: str, height: int = 160) -> go.Figure:
    """Failures per hour of the day; columns hour, turns, failures."""
    rows = {row["hour"]: row for row in table.to_pylist()}
    values = [rows.get(hour, {}).get("failures", 0.0) for hour in range(24)]
    figure = go.Figure()
    figure.add_bar(
        x=list(range(24)),
        y=values,
        marker={"color": colour_of(point), "line": {"width": 0}},
        customdata=[
            f"{hour:02d} h: about {count(value)} of {count(rows.get(hour, {}).get('turns', 0))}"
            for hour, value in enumerate(values)
        ],
        hovertemplate="%{customdata} turns<extra></extra>",
    )
    bare(
        figure,
        height,
        bargap=0.2,
        xaxis={"tickvals": list(range(0, 24, 6)), "ticksuffix": " h"},
        yaxis={"rangemode": "tozero", "nticks": 4},
    )
    return figure


def hours_words(table: pa.Table) -> str:
    """The hour with most failures, for readers who cannot see the chart."""
    rows = table.to_pylist()
    if not rows:
        return "No turns."
    top = max(rows, key=lambda row: row["failures"])
    return f"Bars of failures per hour of the day, UTC; most at {top['hour']} h."


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.16)"
