"""Figures of random folds beside those of later dialogues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import plotly.graph_objects as go

from charts.formatting import percent
from charts.layout import bare, whiskers
from charts.palette import NEUTRAL
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import NAMES

_ACCENT = "#3D6B8C"
_TOTALS = {
    "macro_f1": "Macro-F1",
    "accuracy": "Accuracy",
    "defect_average_precision": "Average precision, any defect",
    "defect_calibration_error": "Calibration error, any defect",
}
_RATES = {
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "calibration_error": "Calibration error",
}


class Row(NamedTuple):
    """A figure with its 95 % interval."""

    name: str
    value: float
    low: float
    high: float


def rows(figures: Mapping[str, Any]) -> list[Row]:
    """Every figure of `classifiers.metrics.summary` with ``intervals``, in order."""
    spans = figures["intervals"]
    every = [
        Row(name, figures[key], *spans[key])
        for key, name in _TOTALS.items()
        if figures.get(key) is not None
    ]
    for key, name in _RATES.items():
        every += [
            Row(f"{name}, {NAMES[point]}", row[key], *spans["classes"][point][key])
            for point in FAILURE_POINTS
            if (row := figures["classes"].get(point)) and row["support"]
        ]
    return every


def _charted(figures: Mapping[str, Any]) -> list[Row]:
    """The figures of the chart; the table holds all."""
    few = {name for key, name in _TOTALS.items() if key != "defect_calibration_error"}
    return [row for row in rows(figures) if row.name in few or row.name.startswith("F1, ")]


def splits(by_split: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Dots with intervals, a row per figure and a colour per split (name → its figures)."""
    figure = go.Figure()
    names = [row.name for row in _charted(next(iter(by_split.values())))]
    for number, (split, figures) in enumerate(by_split.items()):
        shown = [row for row in _charted(figures) if row.name in names]
        shift = 0.0 if len(by_split) == 1 else 0.3 * number - 0.15
        value, low, high = (
            [getattr(row, key) for row in shown] for key in ("value", "low", "high")
        )
        colour = (NEUTRAL, _ACCENT)[number] if len(by_split) > 1 else _ACCENT
        figure.add_scatter(
            x=value,
            y=[names.index(row.name) + shift for row in shown],
            name=split,
            mode="markers",
            marker={"symbol": ("circle", "diamond")[number], "size": 9, "color": colour},
            error_x=whiskers(value, low, high, colour, thickness=1),
            customdata=[
                (row.name, percent(row.value), percent(row.low), percent(row.high)) for row in shown
            ],
            hovertemplate="%{customdata[0]}: %{customdata[1]} (%{customdata[2]} to "
            "%{customdata[3]})",
        )
    bare(
        figure,
        80 + 42 * len(names),
        legend={"orientation": "h", "x": 0, "y": 1.03, "yanchor": "bottom"},
        xaxis={"range": [0, 1.02], "tickformat": ".0%"},
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "range": [len(names) - 0.5, -0.5],
            "showgrid": False,
        },
    )
    return figure


def splits_words(by_split: Mapping[str, Mapping[str, Any]]) -> str:
    """The chart as a sentence."""
    parts = [
        f"{split}: " + ", ".join(f"{row.name} {percent(row.value)}" for row in _charted(figures))
        for split, figures in by_split.items()
    ]
    return "Figures with 95 % intervals. " + "; ".join(parts) + "."
