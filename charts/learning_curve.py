"""The learning curve, and the difference between two models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from charts.formatting import (
    count,
    percent,
    points,
)
from charts.layout import bare, from_the_top, whiskers
from charts.palette import COLOURS, NEUTRAL
from classifiers.evaluation.comparison import Difference
from data.schema.vocabulary import NAMES

ACCENT = "#3D6B8C"


def learning(curve: Mapping[str, Any]) -> go.Figure:
    """Macro-F1 against labelled turns: measured points, and the power law's extrapolation."""
    figure = go.Figure()
    for rows, name, symbol, dash in (
        (curve["points"], "measured", "circle", None),
        (curve["ahead"], "extrapolated", "circle-open", "dot"),
    ):
        figure.add_scatter(
            x=[row["labels"] for row in rows],
            y=[row["macro_f1"] for row in rows],
            name=name,
            mode="lines+markers" if dash else "markers",
            line={"dash": dash or "solid", "color": NEUTRAL if dash else ACCENT, "width": 1.5},
            marker={"symbol": symbol, "size": 9, "color": NEUTRAL if dash else ACCENT},
            error_y=whiskers(
                [row["macro_f1"] for row in rows],
                [row["low"] for row in rows],
                [row["high"] for row in rows],
                None,
            ),
            customdata=[
                (count(row["labels"]), f"{row['low']:.3f}", f"{row['high']:.3f}") for row in rows
            ],
            hovertemplate="%{customdata[0]} labelled turns: %{y:.3f} (%{customdata[1]} to "
            "%{customdata[2]})",
        )
    bare(
        figure,
        320,
        legend={"orientation": "h", "x": 0, "y": 1.03, "yanchor": "bottom"},
        xaxis={"title": {"text": "labelled turns learned from"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "macro-F1, out of fold"}, "tickformat": ".2f"},
    )
    return figure


def learning_words(curve: Mapping[str, Any]) -> str:
    """The curve as a sentence."""
    parts = [f"{row['macro_f1']:.2f} at {row['labels']:.0f}" for row in curve["points"]]
    ahead = [f"{row['macro_f1']:.2f} at {row['labels']:.0f}" for row in curve["ahead"]]
    return (
        "Macro-F1 by labelled turns: "
        + ", ".join(parts)
        + "; extrapolated "
        + ", ".join(ahead)
        + "."
    )


def differences(rows: Sequence[tuple[str, Difference]]) -> go.Figure:
    """Second model minus first, per class, with intervals."""
    figure = go.Figure()
    names = [NAMES[name] for name, _ in rows]
    changes = [difference for _, difference in rows]
    figure.add_scatter(
        x=[d.value for d in changes],
        y=names,
        mode="markers",
        marker={"size": 11, "color": [COLOURS[name] for name, _ in rows]},
        error_x=whiskers(
            [d.value for d in changes], [d.low for d in changes], [d.high for d in changes], width=4
        ),
        customdata=[
            (percent(d.first), percent(d.second), points(d.value), points(d.low), points(d.high))
            for d in changes
        ],
        hovertemplate="%{y}: F1 %{customdata[0]} → %{customdata[1]}, %{customdata[2]} "
        "(%{customdata[3]} to %{customdata[4]})<extra></extra>",
    )
    reach = max([0.02, *(abs(end) for d in changes for end in (d.low, d.high, d.value))]) * 1.08
    bare(
        figure,
        60 + 34 * len(names),
        xaxis={
            "range": [-reach, reach],
            "tickformat": "+.0%",
            "zeroline": True,
            "zerolinecolor": NEUTRAL,
            "title": {"text": "difference of F1, in points"},
        },
        yaxis=from_the_top(),
    )
    return figure


def differences_words(rows: Sequence[tuple[str, Difference]]) -> str:
    """The differences as a sentence."""
    parts = [
        f"{NAMES[name]} {points(d.value)} ({points(d.low)} to {points(d.high)})" for name, d in rows
    ]
    return "F1 of the second model minus the first, per class: " + ", ".join(parts) + "."
