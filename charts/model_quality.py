"""Charts of the Model page: confusion, rates per class, curves, thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from charts.formatting import count, percent
from charts.layout import bare, from_the_top, upright, whiskers
from charts.palette import COLOURS, FAINT, NEUTRAL
from classifiers.evaluation.curves import Bin, Curve
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import NAMES

DEFECT = "defect"
_SHADE = [[0.0, "rgba(61, 107, 140, 0.04)"], [1.0, "rgba(61, 107, 140, 0.55)"]]
# Labels of the rates of a class.
RATES = {"precision": "Precision", "recall": "Recall", "f1": "F1"}


def target_name(target: str) -> str:
    """A failure point's name, or "Any defect"."""
    return NAMES.get(target, "Any defect")


def target_colour(target: str) -> str:
    """A failure point's colour; neutral for any defect."""
    return COLOURS.get(target, NEUTRAL)


def confusion(table: Sequence[Sequence[int]], ink: str) -> go.Figure:
    """Labels (rows) against predictions (columns); shade is the share of the row, text the turns.

    `ink` is the colour of the text.
    """
    names = [NAMES[name] for name in FAILURE_POINTS]
    shares = [[n / max(sum(row), 1) for n in row] for row in table]
    figure = go.Figure()
    figure.add_heatmap(
        z=shares,
        x=names,
        y=names,
        zmin=0,
        zmax=1,
        colorscale=_SHADE,
        showscale=False,
        xgap=2,
        ygap=2,
        customdata=[
            [(count(n), percent(share)) for n, share in zip(row, part, strict=True)]
            for row, part in zip(table, shares, strict=True)
        ],
        hovertemplate="Labelled %{y}, predicted %{x}: %{customdata[0]} turns, %{customdata[1]} of "
        "the row<extra></extra>",
    )
    bare(
        figure,
        330,
        annotations=[
            {
                "x": x,
                "y": y,
                "text": count(n) if n else "·",
                "showarrow": False,
                "font": {"color": ink},
            }
            for y, row in zip(names, table, strict=True)
            for x, n in zip(names, row, strict=True)
        ],
        xaxis={"side": "top", "showgrid": False, "title": {"text": "Predicted"}, "tickangle": 0},
        yaxis={**from_the_top(), "title": {"text": "Labelled"}},
    )
    return figure


def confusion_words(table: Sequence[Sequence[int]]) -> str:
    """The matrix as a sentence."""
    total = sum(map(sum, table))
    right = sum(table[i][i] for i in range(len(table)))
    off = [
        (table[i][j], NAMES[FAILURE_POINTS[i]], NAMES[FAILURE_POINTS[j]])
        for i in range(len(table))
        for j in range(len(table))
        if i != j
    ]
    most, label, predicted = max(off)
    return (
        f"Confusion matrix of {count(total)} turns: {count(right)} are predicted as labelled; the "
        f"commonest error is {label} predicted as {predicted}, {count(most)} turns."
    )


def rates(figures: Mapping[str, Any]) -> go.Figure:
    """Precision, recall and F1 per class with intervals; a class without turns is left out.

    `figures` are those of `classifiers.evaluation.judged.quality`.
    """
    figure = go.Figure()
    classes, intervals = figures["classes"], figures["intervals"]["classes"]
    names = [name for name in FAILURE_POINTS if classes[name]["support"]]
    for key, symbol, shift in (("precision", "circle", -0.2), ("recall", "diamond", 0.0),
                               ("f1", "square", 0.2)):  # fmt: skip
        value = [classes[name][key] for name in names]
        low = [intervals[name][key][0] for name in names]
        high = [intervals[name][key][1] for name in names]
        figure.add_scatter(
            x=value,
            y=[i + shift for i in range(len(names))],
            name=RATES[key],
            mode="markers",
            marker={
                "symbol": symbol,
                "size": 9,
                "color": [COLOURS[name] for name in names],
                "line": {"width": 0},
            },
            error_x=whiskers(value, low, high, thickness=1),
            customdata=[
                (NAMES[n], percent(v), percent(lo), percent(h))
                for n, v, lo, h in zip(names, value, low, high, strict=True)
            ],
            hovertemplate="%{customdata[0]}: %{customdata[1]} (%{customdata[2]} to "
            "%{customdata[3]})",
        )
    bare(
        figure,
        330,
        legend={"orientation": "h", "x": 0, "y": 1.03, "yanchor": "bottom"},
        xaxis={"range": [0, 1.02], "tickformat": ".0%"},
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(names))),
            "ticktext": [NAMES[name] for name in names],
            "range": [len(names) - 0.5, -0.5],
            "showgrid": False,
        },
    )
    return figure


def rates_words(figures: Mapping[str, Any]) -> str:
    """The rates as a sentence."""
    parts = [
        f"{NAMES[name]} precision {percent(row['precision'])}, recall {percent(row['recall'])}"
        for name, row in figures["classes"].items()
        if row["support"]
    ]
    return "Precision and recall with 95 % intervals: " + "; ".join(parts) + "."


def precision_recall(curves: Mapping[str, Curve], selected: str) -> go.Figure:
    """Precision against recall of every target, the selected one in front."""
    figure = go.Figure()
    for target in sorted(curves, key=lambda name: name == selected):
        curve = curves[target]
        in_front = target == selected
        figure.add_scatter(
            x=curve.recall,
            y=curve.precision,
            name=target_name(target),
            mode="lines",
            line={
                "shape": "hv",
                "color": target_colour(target),
                "width": 3 if in_front else 1.2,
            },
            opacity=1.0 if in_front else 0.45,
            customdata=[percent(t) for t in curve.threshold],
            hovertemplate="threshold %{customdata}: precision %{y:.1%}, recall %{x:.1%}",
        )
    bare(
        figure,
        300,
        showlegend=False,
        xaxis={"range": [0, 1.01], "tickformat": ".0%", "title": {"text": "recall"}},
        yaxis={"range": [0, 1.02], "tickformat": ".0%", "title": {"text": "precision"}},
    )
    return figure


def precision_recall_words(curves: Mapping[str, Curve]) -> str:
    """Average precisions as a sentence."""
    parts = [f"{target_name(name)} {curve.average:.2f}" for name, curve in curves.items()]
    return "Precision–recall curves; average precision: " + ", ".join(parts) + "."


def calibration(bins: Sequence[Bin], target: str) -> go.Figure:
    """Reliability diagram: observed frequency, with intervals, against predicted probability."""
    figure = go.Figure()
    top = max([0.05, *(max(b.predicted, b.high) for b in bins)]) * 1.04
    top = min(top, 1.02)
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": NEUTRAL, "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[b.predicted for b in bins],
        y=[b.observed for b in bins],
        mode="lines+markers",
        marker={"size": 8},
        line={"color": target_colour(target), "width": 2},
        error_y=whiskers(
            [b.observed for b in bins],
            [b.low for b in bins],
            [b.high for b in bins],
            target_colour(target),
        ),
        customdata=[
            (
                percent(b.predicted),
                percent(b.observed),
                percent(b.low),
                percent(b.high),
                count(b.turns),
            )
            for b in bins
        ],
        hovertemplate="predicted %{customdata[0]}, observed %{customdata[1]} (%{customdata[2]} to "
        "%{customdata[3]}), %{customdata[4]} turns<extra></extra>",
    )
    bare(
        figure,
        300,
        showlegend=False,
        xaxis={"range": [0, top], "tickformat": ".0%", "title": {"text": "predicted probability"}},
        yaxis={"range": [0, top], "tickformat": ".0%", "title": {"text": "observed frequency"}},
    )
    return figure


def calibration_words(bins: Sequence[Bin], target: str) -> str:
    """The bins as a sentence."""
    parts = [f"{percent(b.predicted)} predicted, {percent(b.observed)} observed" for b in bins]
    return f"Calibration of {target_name(target)}: " + "; ".join(parts) + "."


def thresholds(
    steps: Sequence[float],
    precision: Sequence[tuple[float | None, float, float]],
    recall: Sequence[float | None],
    threshold: float,
    target: str,
) -> go.Figure:
    """Precision (with its interval) and recall at every threshold; `threshold` is marked.

    `precision` has (value, low, high) per step, None where nothing is flagged.
    """
    figure = go.Figure()
    colour = target_colour(target)
    defined = [(s, p) for s, p in zip(steps, precision, strict=True) if p[0] is not None]
    xs = [s for s, _ in defined]
    figure.add_scatter(
        x=[*xs, *reversed(xs)],
        y=[*(p[2] for _, p in defined), *(p[1] for _, p in reversed(defined))],
        fill="toself",
        mode="none",
        opacity=0.25,
        fillcolor=colour,
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=xs,
        y=[p[0] for _, p in defined],
        name="precision",
        mode="lines",
        line={"color": colour, "width": 2.5},
        hovertemplate="%{y:.1%}",
    )
    figure.add_scatter(
        x=list(steps),
        y=list(recall),
        name="recall",
        mode="lines",
        line={"color": NEUTRAL, "width": 2, "dash": "dash"},
        hovertemplate="%{y:.1%}",
    )
    bare(
        figure,
        280,
        shapes=[upright(threshold, width=1.5)],
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "y": 1.03, "yanchor": "bottom"},
        xaxis={
            "range": [0, 1],
            "tickformat": ".0%",
            "title": {"text": "threshold"},
            "unifiedhovertitle": {"text": "threshold %{x:.0%}"},
        },
        yaxis={"range": [0, 1.02], "tickformat": ".0%", "gridcolor": FAINT},
    )
    return figure
