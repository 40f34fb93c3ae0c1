"""Charts of the Overview: failure shares over time, and per failure point."""

from __future__ import annotations

from datetime import date
from typing import Any

import plotly.graph_objects as go
import pyarrow as pa

from charts.layout import bare
from charts.palette import COLOURS, NAMES, NEUTRAL
from charts.words import count, percent
from data.overview import FAILURES, Grain, Totals

_STEP = {"day": 86_400_000, "week": 7 * 86_400_000, "month": "M1"}
_TITLE = {
    "day": "%{x|%-d %B %Y}",
    "week": "week from %{x|%-d %B %Y}",
    "month": "%{x|%B %Y}",
}


def trend(table: pa.Table, by: Grain, height: int = 320) -> go.Figure:
    """Stacked share of the five failures per period of a `data.overview.trend` table."""
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
    bare(figure, height)
    figure.update_layout(
        barmode="stack",
        bargap=0.15,
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "y": 1.04, "yanchor": "bottom", "traceorder": "normal"},
        xaxis={
            "type": "date",
            "unifiedhovertitle": {"text": _TITLE[by]},
            "tickformatstops": [
                {"dtickrange": [None, 86_400_000 * 27], "value": "%-d %b\n%Y"},
                {"dtickrange": [86_400_000 * 27, None], "value": "%b\n%Y"},
            ],
            "nticks": 8,
        },
        yaxis={"tickformat": ".0%", "rangemode": "tozero"},
    )
    # Plotly would label hours when there are only a day or two to show.
    if len(days) == 1 or (by == "day" and _span(days) < 8):
        figure.update_xaxes(tickmode="array", tickvals=_middles(days, by), ticktext=_labels(days))
    return figure


def trend_words(table: pa.Table, by: Grain) -> str:
    """What the trend shows, for those who do not see it."""
    turns: list[Any] = table["turns"].to_pylist()
    if not turns:
        return "No turns in this period."
    sums = [
        sum(values)
        for values in zip(*(table[f"p_{name}"].to_pylist() for name in FAILURES), strict=True)
    ]
    shares = [s / n if n else 0.0 for s, n in zip(sums, turns, strict=True)]
    top = shares.index(max(shares))
    return (
        f"Stacked bars, one per {by}: estimated share of turns that failed, by failure point. "
        f"Between {percent(min(shares))} and {percent(max(shares))}, highest from "
        f"{table['day'].to_pylist()[top]:%-d %B %Y}."
    )


def shares(total: Totals, before: Totals | None = None, height: int = 320) -> go.Figure:
    """Estimated share of each failure point with its interval, in pipeline order, top to bottom.

    `before`, the same for the period before, is drawn as a hollow mark.
    """
    figure = go.Figure()
    rates = [total.rate(name) for name in FAILURES]
    spans = [total.interval(name) for name in FAILURES]
    labels = [NAMES[name] for name in FAILURES]
    figure.add_bar(
        x=rates,
        y=labels,
        orientation="h",
        marker={"color": [COLOURS[name] for name in FAILURES], "line": {"width": 0}},
        error_x={
            "type": "data",
            "array": [high - rate for rate, (_, high) in zip(rates, spans, strict=True)],
            "arrayminus": [rate - low for rate, (low, _) in zip(rates, spans, strict=True)],
            "color": NEUTRAL,
            "thickness": 1.5,
            "width": 4,
        },
        customdata=[
            (percent(rate), percent(low), percent(high), count(total.sums[name]))
            for name, rate, (low, high) in zip(FAILURES, rates, spans, strict=True)
        ],
        hovertemplate="%{y}: %{customdata[0]} (%{customdata[1]} to %{customdata[2]}), "
        "about %{customdata[3]} turns<extra></extra>",
        showlegend=False,
    )
    if before is not None and before.turns:
        figure.add_scatter(
            x=[before.rate(name) for name in FAILURES],
            y=labels,
            mode="markers",
            name="period before",
            marker={"symbol": "line-ns-open", "size": 22, "color": NEUTRAL, "line": {"width": 2}},
            customdata=[percent(before.rate(name)) for name in FAILURES],
            hovertemplate="%{y}, period before: %{customdata}<extra></extra>",
        )
    bare(figure, height)
    figure.update_layout(
        bargap=0.45,
        legend={"orientation": "h", "x": 0, "y": 1.04, "yanchor": "bottom"},
        xaxis={"tickformat": ".0%", "rangemode": "tozero", "nticks": 5},
        yaxis={
            "autorange": "reversed",
            "showgrid": False,
            # The number stands with the name, where no bar can run into it.
            "tickmode": "array",
            "tickvals": labels,
            "ticktext": [
                f"{label}  <b>{percent(rate)}</b>"
                for label, rate in zip(labels, rates, strict=True)
            ],
        },
    )
    return figure


def shares_words(total: Totals) -> str:
    """What the shares say, for those who do not see them."""
    parts = [f"{NAMES[name]} {percent(total.rate(name))}" for name in FAILURES]
    return "Estimated share of turns per failure point: " + ", ".join(parts) + "."


def _span(days: list[date]) -> int:
    return (days[-1] - days[0]).days + 1 if days else 0


def _middles(days: list[date], by: Grain) -> list[str]:
    hours = {"day": 12, "week": 84, "month": 365}[by]
    return [f"{day + (date.resolution * (hours // 24))} {hours % 24:02d}:00" for day in days]


def _labels(days: list[date]) -> list[str]:
    return [f"{day:%-d %b}<br>{day:%Y}" for day in days]
