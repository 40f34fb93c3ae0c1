"""Stage × domain: where in the traffic each stage fails."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pyarrow as pa

from charts.formatting import (
    count,
    inert,
    percent,
)
from charts.layout import bare, from_the_top
from charts.palette import COLOURS
from charts.sentences import value_words
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES

# Fewer turns tell no rate.
FEW = 30
# The darkest cell still lets the theme's letters be read.
_DARKEST = 0.62


def rates(domains: pa.Table) -> list[list[float | None]]:
    """Per row of a table of sums by domain, the rate of each failure; None for few turns."""
    turns: list[Any] = domains["turns"].to_pylist()
    columns = [domains[f"sum_p_{name}"].to_pylist() for name in FAILURES]
    return [
        [column[row] / n if n >= FEW else None for column in columns] for row, n in enumerate(turns)
    ]


def shade(name: str, rate: float | None, most: float) -> str:
    """The colour of a cell: its stage's, the stronger the higher the rate; as CSS."""
    strength = _DARKEST * min(rate / most, 1.0) if rate and most > 0 else 0.0
    red, green, blue = (int(COLOURS[name][i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {max(strength, 0.04):.3f})"


def highest(found: list[list[float | None]]) -> float:
    """The largest rate of all cells; 0 without any."""
    return max((rate for row in found for rate in row if rate is not None), default=0.0)


def heat(domains: pa.Table, ink: str | None = None) -> go.Figure:
    """A cell per stage and domain, the largest domain on top. Cells are bars, which one can click:
    the `customdata` of each begins with the number of its domain's row. `ink` is the colour of the
    theme's letters, where it is known."""
    found = rates(domains)
    most = highest(found)
    names = labels(domains)
    turns: list[Any] = domains["turns"].to_pylist()
    rows = list(range(len(names)))
    figure = go.Figure()
    for place, name in enumerate(FAILURES):
        column = [row[place] for row in found]
        figure.add_bar(
            y=rows,
            x=[1.0] * len(rows),
            base=[float(place)] * len(rows),
            orientation="h",
            name=NAMES[name],
            width=0.96,
            marker={"color": [shade(name, rate, most) for rate in column], "line": {"width": 0}},
            # A click is a filter, not a highlight.
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
            customdata=[
                (row, inert(names[row]), _said(column[row]), count(turns[row])) for row in rows
            ],
            hovertemplate=f"{NAMES[name]}, %{{customdata[1]}}: %{{customdata[2]}} of "
            "%{customdata[3]} turns<extra></extra>",
            showlegend=False,
        )
    figure.add_scatter(
        x=[place + 0.5 for _ in rows for place in range(len(FAILURES))],
        y=[row for row in rows for _ in FAILURES],
        mode="text",
        text=[_said(rate) for row in found for rate in row],
        hoverinfo="skip",
        textfont={"color": ink, "size": 12} if ink else None,
        showlegend=False,
    )
    bare(
        figure,
        46 + 28 * max(len(rows), 1),
        barmode="overlay",
        xaxis={
            "range": [0, len(FAILURES)],
            "tickmode": "array",
            "tickvals": [place + 0.5 for place in range(len(FAILURES))],
            "ticktext": [NAMES[name] for name in FAILURES],
            "side": "top",
            "showgrid": False,
        },
        yaxis=from_the_top(rows, [inert(name, 18) for name in names]),
    )
    return figure


def heat_words(domains: pa.Table) -> str:
    """What the map shows, for those who do not see it."""
    found = [
        (rate, NAMES[name], domain)
        for domain, row in zip(labels(domains), rates(domains), strict=True)
        for name, rate in zip(FAILURES, row, strict=True)
        if rate is not None
    ]
    if not found:
        return f"No domain has {FEW} turns."
    top = sorted(found, key=lambda cell: -cell[0])[:3]
    said = ", ".join(f"{name} in {domain} {percent(rate)}" for rate, name, domain in top)
    return f"Share of turns that failed, per stage and domain. The highest: {said}."


def labels(domains: pa.Table) -> list[str]:
    """The names of the rows."""
    values: list[Any] = domains["domain"].to_pylist()
    return [value_words("domain", value) for value in values]


def _said(rate: float | None) -> str:
    return "–" if rate is None else percent(rate)
