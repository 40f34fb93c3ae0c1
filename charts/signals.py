"""Charts of the Data page: turns per day, missing signals as a heat table and over time."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa

from analysis.logging_gaps import Gap
from charts.formatting import count, distinct, inert, percent, short
from charts.layout import bare, note, upright
from data.queries.signal_coverage import CONFIDENCES, Constant

# Assistants and signals do not get the colours of failure points: other tints and line patterns
# tell them apart.
_TINTS = ("#3D6B8C", "#7FB2D6", "#A88B5C", "#6E8F6B", "#9A7AA0", "#8A919C")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_SHADE = "138, 110, 60"


def name_of(assistant: str | None) -> str:
    """The name of an assistant; `not named` where none was logged."""
    return assistant or "not named"


_DAYS: dict[str, Any] = {
    "type": "date",
    "nticks": 8,
    "tickformat": "%-d %b\n%Y",
    "unifiedhovertitle": {"text": "%{x|%-d %B %Y}"},
}


def arrivals(table: pa.Table, height: int = 240) -> go.Figure:
    """Turns per day, stacked by assistant, of a `data.queries.ingest_runs.daily` table."""
    figure = go.Figure()
    rows: list[dict[str, Any]] = table.to_pylist()
    totals: dict[str, int] = {}
    for row in rows:
        name = name_of(row["assistant"])
        totals[name] = totals.get(name, 0) + row["turns"]
    for i, name in enumerate(sorted(totals, key=lambda n: -totals[n])):
        own_rows = [row for row in rows if name_of(row["assistant"]) == name]
        figure.add_bar(
            x=[row["day"] for row in own_rows],
            y=[row["turns"] for row in own_rows],
            name=inert(name, None),
            marker={"color": _TINTS[i % len(_TINTS)], "line": {"width": 0}},
            xperiod=86_400_000,
            xperiodalignment="middle",
            customdata=[count(row["turns"]) for row in own_rows],
            hovertemplate="%{customdata} turns",
        )
    bare(
        figure,
        height,
        barmode="stack",
        bargap=0.15,
        hovermode="x unified",
        showlegend=len(totals) > 1,
        legend={"orientation": "h", "x": 0, "y": 1.04, "yanchor": "bottom"},
        xaxis=_DAYS,
        yaxis={"rangemode": "tozero", "nticks": 5},
    )
    return figure


def arrivals_words(table: pa.Table) -> str:
    """What the bars show, as text for readers who cannot see them."""
    days: dict[date, int] = {}
    for row in table.to_pylist():
        days[row["day"]] = days.get(row["day"], 0) + row["turns"]
    if not days:
        return "No turns."
    low, high = min(days.values()), max(days.values())
    return (
        f"Stacked bars, one per day: turns by assistant. Between {count(low)} and {count(high)} "
        f"a day, from {min(days):%-d %B %Y} to {max(days):%-d %B %Y}."
    )


def missing_shares(table: pa.Table) -> dict[tuple[str | None, str], float]:
    """(assistant, signal) -> share of turns without it, over all days of a `logged` table."""
    turns: dict[tuple[str | None, str], list[int]] = {}
    for row in table.to_pylist():
        sums = turns.setdefault((row["assistant"], row["signal"]), [0, 0])
        sums[0] += row["turns"]
        sums[1] += row["logged"]
    return {key: 1 - logged / n if n else 1.0 for key, (n, logged) in turns.items()}


def missing_heat(table: pa.Table) -> Any:
    """A pandas Styler: a row per signal, a column per assistant, the missing share in per cent."""
    shares = missing_shares(table)
    assistants = sorted({a for a, _ in shares}, key=lambda a: a or "")
    signals = list(dict.fromkeys(signal for _, signal in shares))
    names: Any = distinct([short(name_of(a)) or "–" for a in assistants], ["Signal"])
    frame = pd.DataFrame(
        [[_cell(shares.get((a, signal))) for a in assistants] for signal in signals],
        columns=names,
        dtype=float,
    )
    frame.insert(0, "Signal", [short(signal) for signal in signals])

    def shade(value: object) -> str:
        if not isinstance(value, float) or value != value:
            return ""
        return f"background-color: rgba({_SHADE}, {0.55 * value / 100:.3f})"

    return frame.style.map(shade, subset=names).format(_percent, subset=names, na_rep="never")


def over_time(
    table: pa.Table, assistant: str | None, signals: list[str], marks: list[Gap], height: int = 280
) -> go.Figure:
    """Daily share of turns without a signal, for some signals of an assistant; changes marked."""
    figure = go.Figure()
    rows: list[dict[str, Any]] = table.to_pylist()
    for i, signal in enumerate(signals):
        own_rows = [r for r in rows if r["assistant"] == assistant and r["signal"] == signal]
        shares = [1 - r["logged"] / r["turns"] for r in own_rows]
        figure.add_scatter(
            x=[r["day"] for r in own_rows],
            y=shares,
            name=inert(signal, None),
            mode="lines+markers",
            line={
                "color": _TINTS[i % len(_TINTS)],
                "dash": _DASHES[i % len(_DASHES)],
                "width": 2,
            },
            marker={"size": 4},
            customdata=[
                (percent(s), count(r["turns"])) for s, r in zip(shares, own_rows, strict=True)
            ],
            hovertemplate="%{customdata[0]} of %{customdata[1]} turns",
        )
    days = sorted({m.day for m in marks if m.assistant == assistant and m.signal in signals})
    bare(
        figure,
        height,
        shapes=[upright(day.isoformat(), dash="dot") for day in days],
        annotations=[note(day.isoformat(), f"{day.day} {day:%b}") for day in days],
        hovermode="x unified",
        margin={"t": 24},
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": -0.18, "yanchor": "top"},
        xaxis=_DAYS,
        yaxis={"tickformat": ".0%", "range": [-0.02, 1.02], "nticks": 5},
    )
    return figure


def over_time_words(assistant: str | None, signals: list[str], marks: list[Gap]) -> str:
    """What the lines show, as text for readers who cannot see them."""
    sentences = [gap_words(m) for m in marks if m.assistant == assistant and m.signal in signals]
    changes = " ".join(sentences) or "No clear change."
    return f"Daily share of turns of {name_of(assistant)} without {', '.join(signals)}. {changes}"


def gap_words(gap: Gap) -> str:
    """A change as a sentence."""
    since = f"{gap.day:%A} {gap.day.day} {gap.day:%B %Y}"
    if (gap.day - gap.last_before).days > 1:
        since = f"between {gap.last_before:%-d %B} and {gap.day:%-d %B %Y}"
    else:
        since = f"on {since}"
    if gap.after > 0.98 and gap.before < 0.9:
        verb = "stopped logging"
    elif gap.before > 0.98 and gap.after < 0.9:
        verb = "began to log"
    else:
        verb = "logs less of" if gap.lost else "logs more of"
    return (
        f"{name_of(gap.assistant)} {verb} {gap.signal} {since}: missing on {percent(gap.before)} "
        f"of turns before, {percent(gap.after)} after."
    )


def constant_words(constant: Constant) -> str:
    """A confidence that never differs as a sentence."""
    value = f"{constant.value:.1f}" if constant.value in (0, 1) else f"{constant.value:g}"
    return (
        f"{name_of(constant.assistant)}: {CONFIDENCES[constant.signal]} is always {value} "
        f"({count(constant.turns)} turns) – not informative."
    )


def _percent(value: Any) -> str:
    return percent(value / 100)


def _cell(share: float | None) -> float | None:
    return None if share is None else 100 * share
