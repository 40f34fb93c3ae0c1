"""Charts of generated labels: what a threshold costs, and what it buys."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from charts.formatting import percent
from charts.layout import bare, note, upright
from charts.palette import NEUTRAL
from charts.rewrites import ACCENT


def precision_and_throughput(
    thresholds: Sequence[float],
    precisions: Sequence[float],
    labelled: Sequence[float],
    chosen: float,
    human: float | None = None,
) -> go.Figure:
    """Precision, and the share of turns that get a label, by the least probability of a label.

    `chosen` is the present threshold; `human` the precision of one annotator, where it is known.
    """
    figure = go.Figure()
    for values, name, colour, dash in (
        (precisions, "precision", ACCENT, "solid"),
        (labelled, "turns labelled", NEUTRAL, "dash"),
    ):
        figure.add_scatter(
            x=list(thresholds),
            y=list(values),
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2.5, "dash": dash},
            marker={"size": 6, "color": colour},
            customdata=[percent(value) for value in values],
            hovertemplate=f"%{{customdata}} {name}<extra></extra>",
        )
    shapes = [upright(chosen, width=2)]
    marks = [note(chosen, f"{chosen:.2f}", yshift=2)]
    if human is not None:
        ends = {"x0": 0, "x1": 1, "xref": "paper", "y0": human, "y1": human}
        line = {"color": NEUTRAL, "width": 1, "dash": "dot"}
        shapes.append({"type": "line", **ends, "line": line})
        marks.append(
            {
                "x": 0, "xref": "paper", "xanchor": "left", "y": human, "yanchor": "bottom",
                "text": f"one annotator {human:.2f}", "showarrow": False,
            }
        )  # fmt: skip
    low = min([*thresholds, chosen])
    return bare(
        figure,
        330,
        shapes=shapes,
        annotations=marks,
        hovermode="x",
        legend={"orientation": "h", "x": 0, "y": 1.1, "yanchor": "bottom"},
        margin={"t": 30},
        xaxis={
            "title": {"text": "least probability of a label"},
            "range": [low - 0.01, 1.01],
            "tickformat": ".2f",
            "nticks": 7,
        },
        yaxis={"range": [0, 1.04], "tickformat": ".0%"},
    )


def precision_words(
    thresholds: Sequence[float], precisions: Sequence[float], labelled: Sequence[float]
) -> str:
    """The same as a sentence."""
    parts = [
        f"from {at:.2f} on {percent(precision)} are right and {percent(share, 0)} of turns labelled"
        for at, precision, share in zip(thresholds, precisions, labelled, strict=True)
    ]
    return "Precision and throughput: " + "; ".join(parts) + "."
