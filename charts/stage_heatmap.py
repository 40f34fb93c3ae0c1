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
from charts.palette import COLOURS, GROUND, blend, contrast
from charts.sentences import value_words
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES

# With fewer turns, no rate is shown.
FEW = 30
# Opacity of the strongest cell: its text stays readable.
_MAX_OPACITY = 0.62
# Height in pixels of the names of the stages, which may take two lines.
_HEAD = 40


def rates(domains: pa.Table) -> list[list[float | None]]:
    """Per row of a table of sums by domain, the rate of each failure; None for few turns."""
    turns: list[Any] = domains["turns"].to_pylist()
    columns = [domains[f"sum_p_{name}"].to_pylist() for name in FAILURES]
    return [
        [column[row] / n if n >= FEW else None for column in columns] for row, n in enumerate(turns)
    ]


def shade(name: str, rate: float | None, most: float) -> str:
    """The colour of a cell as CSS: that of its stage, more opaque with a higher rate."""
    red, green, blue = (int(COLOURS[name][i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {_opacity(rate, most):.3f})"


def ink_on(name: str, rate: float | None, most: float, dark: bool) -> str:
    """The text colour of a cell: of the themes' grounds, the one that contrasts more with it."""
    ground = blend(COLOURS[name], _opacity(rate, most), GROUND[dark])
    return max(GROUND, key=lambda ink: contrast(ink, ground))


def _opacity(rate: float | None, most: float) -> float:
    share = min(rate / most, 1.0) if rate and most > 0 else 0.0
    return max(_MAX_OPACITY * share, 0.04)


def highest(cells: list[list[float | None]]) -> float:
    """The largest rate of all cells; 0 without any."""
    return max((rate for row in cells for rate in row if rate is not None), default=0.0)


def heat(domains: pa.Table, dark: bool = False) -> go.Figure:
    """A cell per stage and domain, the largest domain on top.

    Cells are bars, because bars can be clicked: the `customdata` of each begins with the number of
    its domain's row. `dark` is the theme that the text on the cells has to be read on.
    """
    cells = rates(domains)
    most = highest(cells)
    names = labels(domains)
    turns: list[Any] = domains["turns"].to_pylist()
    rows = list(range(len(names)))
    inks = [
        ink_on(name, rate, most, dark)
        for row in cells
        for name, rate in zip(FAILURES, row, strict=True)
    ]
    figure = go.Figure()
    for i, name in enumerate(FAILURES):
        column = [row[i] for row in cells]
        figure.add_bar(
            y=rows,
            x=[1.0] * len(rows),
            base=[float(i)] * len(rows),
            orientation="h",
            name=NAMES[name],
            width=0.96,
            marker={"color": [shade(name, rate, most) for rate in column], "line": {"width": 0}},
            # A click is a filter, not a highlight.
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
            customdata=[
                (row, inert(names[row]), _rate_text(column[row]), count(turns[row])) for row in rows
            ],
            hovertemplate=f"{NAMES[name]}, %{{customdata[1]}}: %{{customdata[2]}} of "
            "%{customdata[3]} turns<extra></extra>",
            showlegend=False,
        )
    figure.add_scatter(
        x=[i + 0.5 for _ in rows for i in range(len(FAILURES))],
        y=[row for row in rows for _ in FAILURES],
        mode="text",
        text=[_rate_text(rate) for row in cells for rate in row],
        hoverinfo="skip",
        textfont={"color": inks, "size": 12},
        showlegend=False,
    )
    bare(
        figure,
        _HEAD + 28 * max(len(rows), 1),
        # Plotly would drop the names of the stages rather than make a map of one row lower.
        margin={"t": _HEAD},
        minreducedheight=2,
        barmode="overlay",
        xaxis={
            "range": [0, len(FAILURES)],
            "tickmode": "array",
            "tickvals": [i + 0.5 for i in range(len(FAILURES))],
            "ticktext": [NAMES[name].replace(" ", "<br>") for name in FAILURES],
            "side": "top",
            "tickangle": 0,
            "automargin": False,
            "showgrid": False,
        },
        yaxis=from_the_top(rows, [inert(name, 18) for name in names]),
    )
    return figure


def heat_words(domains: pa.Table) -> str:
    """What the map shows, as text for readers who cannot see it."""
    cells = [
        (rate, NAMES[name], domain)
        for domain, row in zip(labels(domains), rates(domains), strict=True)
        for name, rate in zip(FAILURES, row, strict=True)
        if rate is not None
    ]
    if not cells:
        return f"No domain has {FEW} turns."
    top = sorted(cells, key=lambda cell: -cell[0])[:3]
    listed = ", ".join(f"{name} in {domain} {percent(rate)}" for rate, name, domain in top)
    return f"Share of turns that failed, per stage and domain. The highest: {listed}."


def labels(domains: pa.Table) -> list[str]:
    """The labels of the rows."""
    values: list[Any] = domains["domain"].to_pylist()
    return [value_words("domain", value) for value in values]


def _rate_text(rate: float | None) -> str:
    return "–" if rate is None else percent(rate)
