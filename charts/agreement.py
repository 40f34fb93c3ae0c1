"""Chart of the agreement between annotators: alpha per failure point with its interval."""

from __future__ import annotations

import plotly.graph_objects as go

from annotation.agreement import Agreed, Agreement
from charts.layout import bare, from_the_top, whiskers
from charts.palette import COLOURS, NEUTRAL
from data.schema.vocabulary import NAMES


def alphas(result: Agreement, height: int = 250) -> go.Figure:
    """Krippendorff's alpha overall and of each failure point, with 95 % intervals."""
    rows = [row for row in (result.overall, *result.classes) if row.value is not None]
    values = [float(row.value or 0.0) for row in rows]
    lows = [v if row.low is None else row.low for v, row in zip(values, rows, strict=True)]
    highs = [v if row.high is None else row.high for v, row in zip(values, rows, strict=True)]
    figure = go.Figure()
    figure.add_scatter(
        x=values,
        y=[_name(row) for row in rows],
        mode="markers",
        marker={
            "color": [COLOURS.get(row.what, NEUTRAL) for row in rows],
            "size": 11,
            "symbol": ["circle" if row.what else "diamond" for row in rows],
        },
        error_x=whiskers(values, lows, highs, thickness=1.5, width=4),
        customdata=[words(row) for row in rows],
        hovertemplate="%{y}: %{customdata}<extra></extra>",
    )
    low = min([0.0, *lows])
    bare(
        figure,
        height,
        xaxis={"range": [max(-1.0, low) - 0.03, 1.03], "tickvals": [0, 0.25, 0.5, 0.75, 1]},
        yaxis=from_the_top(),
    )
    return figure


def alphas_words(result: Agreement) -> str:
    """The chart as a sentence."""
    parts = [f"{_name(row)} {words(row)}" for row in (result.overall, *result.classes)]
    return "Krippendorff's alpha with 95 % interval: " + ", ".join(parts) + "."


def words(row: Agreed) -> str:
    """Alpha and its interval: `0.81 (0.74 to 0.88)`, or `not defined`."""
    if row.value is None:
        return "not defined"
    span = f" ({row.low:.2f} to {row.high:.2f})" if row.low is not None else ""
    return f"{row.value:.2f}{span}"


def _name(row: Agreed) -> str:
    return NAMES.get(row.what, "All")
