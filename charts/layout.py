"""Layout that all figures share: no frame, faint grid, margins that fit the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from charts.palette import CHART_TEXT, FAINT, NEUTRAL

# No toolbar over the chart, and the wheel scrolls the page.
CONFIG = {"displayModeBar": False, "scrollZoom": False}
_AXIS: dict[str, Any] = {
    "automargin": True,
    "showline": False,
    "zeroline": False,
    "gridcolor": FAINT,
    "fixedrange": True,
    "tickfont": {"color": CHART_TEXT},
}
_MARGIN = {"l": 0, "r": 8, "t": 8, "b": 0}


def upright(x: object, **line: Any) -> dict[str, Any]:
    """A mark for `bare`: a line from bottom to top at x."""
    where = {"x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"}
    return {"type": "line", **where, "line": {"color": NEUTRAL, "width": 1, **line}}


def note(x: object, text: str, **more: Any) -> dict[str, Any]:
    """A mark for `bare`: text at x, above the chart unless `more` moves it."""
    position = {"x": x, "y": 1, "yref": "paper", "yanchor": "bottom"}
    return {**position, "text": text, "showarrow": False, **more}


def levels(at: Sequence[float], gap: float) -> list[int]:
    """The row of each mark, counted from 0, so that no two marks of a row are closer than `gap`."""
    rows: list[int] = []
    for number, x in enumerate(at):
        near = {rows[other] for other in range(number) if abs(at[other] - x) < gap}
        rows.append(next(row for row in range(number + 1) if row not in near))
    return rows


def from_the_top(at: Sequence[Any] | None = None, texts: Sequence[str] = ()) -> dict[str, Any]:
    """A y-axis whose first row is at the top; `texts` label the rows `at` instead of their values.

    A number in such a label cannot overlap a bar.
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
    """Error bars from `lows` to `highs` around `values`; None is the colour of the markers."""
    return {
        "type": "data",
        "array": [max(high - v, 0) for v, high in zip(values, highs, strict=True)],
        "arrayminus": [max(v - low, 0) for v, low in zip(values, lows, strict=True)],
        "thickness": thickness,
        "width": width,
        **({"color": colour} if colour else {}),
    }


def bare(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    """Set the figure's height in pixels and the shared layout; text colours are the theme's.

    `layout` is the rest of the figure's layout, with its marks (`shapes`, `annotations`); it
    replaces all that was set before. Plotly validates the whole layout at every change of a part of
    it, so setting it at once takes a quarter of the time; adding marks one by one would take twenty
    times as long.
    """
    axes = {name: _axis(layout.pop(name, {})) for name in ("xaxis", "yaxis")}
    if "legend" in layout:
        layout["legend"] = {"font": {"color": CHART_TEXT}, **layout["legend"]}
    figure.layout = {
        "height": height,
        "margin": {**_MARGIN, **layout.pop("margin", {})},
        "font": {"color": CHART_TEXT},
        "hoverlabel": {"align": "left", "namelength": -1},
        "dragmode": False,
        **axes,
        **layout,
    }
    return figure


def _axis(axis: dict[str, Any]) -> dict[str, Any]:
    """An axis with the shared settings, its numbers and its title in text that can be read."""
    merged = {**_AXIS, **axis}
    merged["tickfont"] = {**_AXIS["tickfont"], **axis.get("tickfont", {})}
    if title := axis.get("title"):
        named = {"text": title} if isinstance(title, str) else title
        merged["title"] = {"font": {"color": CHART_TEXT}, **named}
    return merged
