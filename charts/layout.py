"""What every figure shares: no frame, faint grid, labels that make their own room."""

from __future__ import annotations

import plotly.graph_objects as go

from charts.palette import FAINT

# No toolbar over the chart, and the wheel scrolls the page.
CONFIG = {"displayModeBar": False, "scrollZoom": False}


def bare(figure: go.Figure, height: int) -> go.Figure:
    """Give the figure its height in pixels and the house style; text colours are the theme's."""
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 8, "t": 8, "b": 0},
        hoverlabel={"align": "left", "namelength": -1},
        dragmode=False,
    )
    figure.update_xaxes(
        automargin=True, showline=False, zeroline=False, gridcolor=FAINT, fixedrange=True
    )
    figure.update_yaxes(
        automargin=True, showline=False, zeroline=False, gridcolor=FAINT, fixedrange=True
    )
    return figure
