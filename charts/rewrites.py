"""Charts of the Rewrites page: the chain around a request, and what rewrites were worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from charts.formatting import count, inert, percent, several, short
from charts.layout import bare, from_the_top, whiskers
from charts.palette import COLOURS, FAINT, NEUTRAL

# Pixels of a row, and of what stands above the first one.
_ROW, _HEAD = 62, 40
# More states than these are not read; less probable steps only blur the picture.
MOST_STATES, _LEAST = 8, 0.02
# Arcs that are drawn: the likeliest, and none below a share.
_MOST_ARCS, _LEAST_ARC = 8, 0.04
# Where the three columns are: giving up, the states, success.
_GAVE_UP, _STATE, _SUCCESS = 0.03, 0.3, 0.97
# Blue that shows on light and on dark grounds.
ACCENT, GOOD, BAD = "#4C8ABB", COLOURS["correct"], NEUTRAL
_SMALL = {"size": 11}


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the chain: from one state to another, and how probable it is of all turns."""

    start: int
    end: int
    p: float


@dataclass(frozen=True, slots=True)
class Around:
    """The chain around a request, the request first.

    Attributes
    ----------
    texts, turns: of each state. success, given_up: probabilities of the two absorbing states.
    again: probability that the same is said again. steps: to other states, likeliest first.
    hidden: states that are left out.
    """

    texts: tuple[str, ...]
    turns: tuple[float, ...]
    success: tuple[float, ...]
    given_up: tuple[float, ...]
    again: tuple[float, ...]
    steps: tuple[Step, ...]
    hidden: int = 0


def around(chain: Mapping[str, Any], rewrite: str = "") -> Around | None:
    """The chain that a rewrite is stored with (`nodes`, `edges`); None where there is none.

    A retry follows a failure, so the probability of a step is that of failing times that of the
    retry. At most `MOST_STATES` states: the request, its rewrite, and then those heard most.
    """
    nodes = list(chain.get("nodes") or ())
    if not nodes:
        return None
    failure = [min(max(float(node.get("failure") or 0.0), 0.0), 1.0) for node in nodes]
    steps = [
        Step(int(edge["from"]), int(edge["to"]), failure[int(edge["from"])] * float(edge["p"]))
        for edge in chain.get("edges") or ()
        if 0 <= int(edge["from"]) < len(nodes) and 0 <= int(edge["to"]) < len(nodes)
    ]
    order = sorted(
        range(len(nodes)),
        key=lambda i: (i != 0, nodes[i].get("text") != rewrite, -float(nodes[i].get("turns") or 0)),
    )
    kept = order[:MOST_STATES]
    # The rewrite is where the request leads to: it stands at the foot.
    if len(kept) > 1 and nodes[kept[1]].get("text") == rewrite:
        kept.append(kept.pop(1))
    place = {node: row for row, node in enumerate(kept)}
    left = [failure[i] - sum(step.p for step in steps if step.start == i) for i in kept]
    return Around(
        texts=tuple(str(nodes[i].get("text") or "") for i in kept),
        turns=tuple(float(nodes[i].get("turns") or 0) for i in kept),
        success=tuple(1 - failure[i] for i in kept),
        given_up=tuple(max(0.0, rest) for rest in left),
        again=tuple(sum(s.p for s in steps if s.start == s.end == i) for i in kept),
        steps=tuple(
            sorted(
                (
                    Step(place[step.start], place[step.end], step.p)
                    for step in steps
                    if step.start in place and step.end in place and step.start != step.end
                ),
                key=lambda step: (-step.p, step.start, step.end),
            )
        ),
        hidden=len(nodes) - len(kept),
    )


def chain(states: Around, rewrite: str = "") -> go.Figure:
    """The chain, one state to a row: giving up on the left, success on the right, retries as arcs.

    The first row is the request; the row whose text is `rewrite` is marked as well.
    """
    rows = len(states.texts)
    figure = go.Figure()
    figure.add_scatter(
        x=[_STATE] * rows,
        y=list(range(rows)),
        mode="markers",
        marker={
            "size": [15 if _marked(states, i, rewrite) else 10 for i in range(rows)],
            "color": [ACCENT if _marked(states, i, rewrite) else NEUTRAL for i in range(rows)],
            "symbol": [
                "circle"
                if i == 0 or not rewrite
                else "diamond"
                if states.texts[i] == rewrite
                else "circle"
                for i in range(rows)
            ],
        },
        customdata=[
            (
                inert(states.texts[i], 160),
                several(round(states.turns[i]), "turn"),
                percent(states.success[i], 0),
                percent(states.given_up[i], 0),
                percent(states.again[i], 0),
            )
            for i in range(rows)
        ],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}: works %{customdata[2]}, given up "
        "%{customdata[3]}, said again %{customdata[4]}<extra></extra>",
        showlegend=False,
    )
    marks: list[dict[str, Any]] = []
    shapes = [_lane(_GAVE_UP, rows, BAD), _lane(_SUCCESS, rows, GOOD)]
    for x, title, anchor in (
        (0.0, "gave up", "left"),
        (1.0, "worked", "right"),
    ):
        marks.append(_text(x, -0.62, f"<b>{title}</b>", xanchor=anchor))
    for i in range(rows):
        words = inert(states.texts[i] or "(nothing heard)", 34)
        name = f"<b>{words}</b>" if _marked(states, i, rewrite) else words
        # The mark keeps the number to the right of a text from right to left.
        mark = "\N{LEFT-TO-RIGHT MARK}"
        again = f"{mark} ↻ {percent(states.again[i], 0)}" if states.again[i] >= _LEAST else ""
        marks.append(_text(_STATE + 0.035, i, name + again, xanchor="left", yshift=13, font=None))
        shapes += _to_end(i, _SUCCESS, states.success[i], GOOD)
        shapes += _to_end(i, _GAVE_UP, states.given_up[i], BAD)
        marks.append(
            _text(_SUCCESS - 0.03, i, percent(states.success[i], 0), xanchor="right", yshift=-10)
        )
        if states.given_up[i] >= _LEAST:
            marks.append(
                _text(
                    _GAVE_UP + 0.02, i, percent(states.given_up[i], 0), xanchor="left", yshift=-10
                )
            )
    arcs = [step for step in states.steps if step.p >= _LEAST_ARC][:_MOST_ARCS]
    shapes += [_arc(step, rows) for step in arcs]
    marks += _arc_marks(arcs, rows)
    return bare(
        figure,
        _HEAD + _ROW * rows,
        shapes=shapes,
        annotations=marks,
        hovermode="closest",
        margin={"l": 0, "r": 0, "t": 4, "b": 0},
        xaxis={"range": [0, 1], "visible": False},
        yaxis={"range": [rows - 0.45, -0.85], "visible": False},
    )


def chain_words(states: Around, rewrite: str = "") -> str:
    """The chain as sentences, for readers who cannot see it."""
    parts = []
    for i, text in enumerate(states.texts):
        named = " (the rewrite)" if rewrite and i and text == rewrite else ""
        following = ", ".join(
            f"“{short(states.texts[step.end], 40)}” {percent(step.p, 0)}"
            for step in states.steps
            if step.start == i and step.p >= _LEAST_ARC
        )
        parts.append(
            f"“{short(text, 60)}”{named}: works {percent(states.success[i], 0)}, given up "
            f"{percent(states.given_up[i], 0)}{f', then {following}' if following else ''}."
        )
    return "What follows the request. " + " ".join(parts)


def _marked(states: Around, row: int, rewrite: str) -> bool:
    return row == 0 or bool(rewrite and states.texts[row] == rewrite)


def _text(x: float, y: float, text: str, **more: Any) -> dict[str, Any]:
    font = more.pop("font", _SMALL)
    extra = {"font": font} if font else {}
    return {"x": x, "y": y, "text": text, "showarrow": False, **extra, **more}


def _lane(x: float, rows: int, colour: str) -> dict[str, Any]:
    """An absorbing state: a bar along all rows."""
    ends = {"x0": x, "x1": x, "y0": -0.42, "y1": rows - 0.6}
    return {"type": "line", **ends, "line": {"color": colour, "width": 7}, "layer": "below"}


def _to_end(row: int, x: float, p: float, colour: str) -> list[dict[str, Any]]:
    """The edge from a state to an absorbing one; the likelier, the thicker."""
    if p < _LEAST:
        return []
    ends = {"x0": _STATE, "x1": x, "y0": row, "y1": row}
    line = {"color": colour, "width": 1 + 5 * p}
    return [{"type": "line", **ends, "line": line, "layer": "below"}]


def _bulge(step: Step, rows: int) -> float:
    """How far an arc reaches to the left of the states, as a share of the width."""
    return 0.07 + 0.13 * (abs(step.end - step.start) - 1) / max(rows - 1, 1)


def _arc(step: Step, rows: int) -> dict[str, Any]:
    x = _STATE - 2 * _bulge(step, rows)
    path = f"M {_STATE},{step.start} C {x},{step.start} {x},{step.end} {_STATE},{step.end}"
    dash = "dot" if step.end < step.start else "solid"
    line = {"color": ACCENT, "width": 1 + 5 * step.p, "dash": dash}
    return {"type": "path", "path": path, "line": line}


def _arc_marks(arcs: Sequence[Step], rows: int) -> list[dict[str, Any]]:
    """The probability of each step in the gap beside its start, and its arrow's head.

    Those in one gap stand at different heights.
    """
    gaps: dict[float, list[Step]] = {}
    for step in arcs:
        down = step.end > step.start
        gaps.setdefault(step.start + (0.5 if down else -0.5), []).append(step)
    marks = []
    for gap, steps in gaps.items():
        # The wider an arc, the nearer to the row in the middle of its way.
        steps.sort(key=lambda step: (abs(step.end - step.start), step.start))
        for number, step in enumerate(steps):
            y = gap + 0.8 * ((number + 1) / (len(steps) + 1) - 0.5)
            x = _arc_x(step, abs(y - step.start), rows)
            words = percent(step.p, 0)
            marks.append(_text(x, y, words, xanchor="center", bgcolor="rgba(128, 134, 144, 0.18)"))
    return marks + [
        _text(_STATE, end, "▶", xanchor="right", xshift=-5, font={"size": 9})
        for end in sorted({step.end for step in arcs})
    ]


def _arc_x(step: Step, rows_away: float, rows: int) -> float:
    """Where an arc is so many rows from its start: bisected, as y(t) = distance·(3t² − 2t³)."""
    distance = abs(step.end - step.start)
    low, high = 0.0, 1.0
    for _ in range(24):
        t = (low + high) / 2
        low, high = (t, high) if distance * (3 * t * t - 2 * t**3) < rows_away else (low, t)
    return _STATE - 2 * _bulge(step, rows) * 3 * t * (1 - t)


def net_mended(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Net mended (wins less losses, per wrong turn) of methods or parts, with 95 % intervals."""
    figure = go.Figure()
    nets = [float(row["net"]) for row in rows]
    figure.add_scatter(
        x=nets,
        y=[inert(str(row["name"]), 40) for row in rows],
        mode="markers",
        marker={"size": 11, "color": ACCENT},
        error_x=whiskers(
            nets, [float(row["low"]) for row in rows], [float(row["high"]) for row in rows], width=4
        ),
        customdata=[
            (percent(row["net"]), percent(row["low"]), percent(row["high"]), _precision(row))
            for row in rows
        ],
        hovertemplate="%{customdata[0]} of wrong turns (%{customdata[1]} to %{customdata[2]}), "
        "precision %{customdata[3]}<extra></extra>",
        showlegend=False,
    )
    ends = [0.0, *nets, *(float(row[end]) for row in rows for end in ("low", "high"))]
    room = 0.06 * (max(ends) - min(ends) or 0.1)
    return bare(
        figure,
        64 + 34 * len(rows),
        xaxis={
            "range": [min(ends) - room, max(ends) + room],
            "tickformat": ".0%",
            "nticks": 6,
            "zeroline": True,
            "zerolinecolor": NEUTRAL,
            "title": {"text": "net mended, of wrong turns"},
        },
        yaxis=from_the_top(),
    )


def net_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """Net mended as a sentence."""
    parts = [
        f"{row['name']} {percent(row['net'])} ({percent(row['low'])} to {percent(row['high'])})"
        for row in rows
    ]
    return "Net mended, of wrong turns: " + ", ".join(parts) + "."


def outcomes(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Wins, turns without help and losses of methods or parts, as stacked bars."""
    figure = go.Figure()
    for key, name, colour in (
        ("wins", "wins", GOOD),
        ("no_help", "no help", FAINT),
        ("losses", "losses", COLOURS["result"]),
    ):
        figure.add_bar(
            x=[row[key] for row in rows],
            y=[inert(str(row["name"]), 40) for row in rows],
            name=name,
            orientation="h",
            marker={"color": colour, "line": {"width": 0}},
            customdata=[count(row[key]) for row in rows],
            hovertemplate=f"%{{customdata}} {name}<extra></extra>",
        )
    return bare(
        figure,
        100 + 34 * len(rows),
        barmode="stack",
        bargap=0.35,
        legend={"orientation": "h", "x": 0, "y": 1.03, "yanchor": "bottom"},
        margin={"t": 34},
        xaxis={"title": {"text": "turns rewritten"}, "nticks": 6, "rangemode": "tozero"},
        yaxis=from_the_top(),
    )


def outcome_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """The outcomes as a sentence."""
    parts = [
        f"{row['name']}: {count(row['wins'])} wins, {count(row['no_help'])} without help, "
        f"{count(row['losses'])} losses"
        for row in rows
    ]
    return "What became of rewritten turns. " + "; ".join(parts) + "."


def _precision(row: Mapping[str, Any]) -> str:
    value = row.get("precision")
    return "–" if value is None or value != value else f"{value:.2f}"
