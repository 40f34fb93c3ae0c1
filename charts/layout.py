"""What every figure shares: no frame, faint grid, labels that make their own room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from charts.palette import FAINT, NEUTRAL

# No toolbar over the chart, and the wheel scrolls the page.
CONFIG = {"displayModeBar": False, "scrollZoom": False}
_AXIS = {
    "automargin": True,
    "showline": False,
    "zeroline": False,
    "gridcolor": FAINT,
    "fixedrange": True,
}
_MARGIN = {"l": 0, "r": 8, "t": 8, "b": 0}


def upright(x: object, **line: Any) -> dict[str, Any]:
    """A mark for `bare`: a line from bottom to top at x."""
    where = {"x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"}
    return {"type": "line", **where, "line": {"color": NEUTRAL, "width": 1, **line}}


def note(x: object, text: str, **more: Any) -> dict[str, Any]:
    """A mark for `bare`: quiet words at x, on top of the chart unless `more` says otherwise."""
    place = {"x": x, "y": 1, "yref": "paper", "yanchor": "bottom"}
    return {**place, "text": text, "showarrow": False, "font": {"color": NEUTRAL}, **more}


def from_the_top(at: Sequence[Any] | None = None, texts: Sequence[str] = ()) -> dict[str, Any]:
    """A y-axis whose first row is at the top; `texts` stand `at` the rows instead of their values.

    A number in such a text stands where no bar can run into it.
    """
    axis: dict[str, Any] = {"autorange": "reversed", "showgrid": False}
    if at is None:
        return axis
    return {**axis, "tickmode": "array", "tickvals": list(at), "ticktext": list(texts)}


def whiskers(
    values: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    colour: str | None = NEUTRAL,
    thickness: float = 1.2,
    width: int = 3,
) -> dict[str, Any]:
    """Error bars from `lows` to `highs` around `values`; in the colour of the marks without one."""
    return {
        "type": "data",
        "array": [max(high - v, 0) for v, high in zip(values, highs, strict=True)],
        "arrayminus": [max(v - low, 0) for v, low in zip(values, lows, strict=True)],
        "thickness": thickness,
        "width": width,
        **({"color": colour} if colour else {}),
    }


def bare(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    """Give the figure its height in pixels and the house style; text colours are the theme's.

    `layout` is the figure's own, marks (`shapes`, `annotations`) included: all that it had before
    is gone. Plotly checks a layout as a whole whenever a part of it is changed, so setting it at
    once takes a quarter of the time, and one mark after the other would take twenty times as long.
    """
    axes = {name: {**_AXIS, **layout.pop(name, {})} for name in ("xaxis", "yaxis")}
    figure.layout = {
        "height": height,
        "margin": {**_MARGIN, **layout.pop("margin", {})},
        "hoverlabel": {"align": "left", "namelength": -1},
        "dragmode": False,
        **axes,
        **layout,
    }
    return figure
