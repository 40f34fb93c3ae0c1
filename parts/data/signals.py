"""Signals on the Data page: coverage per assistant, when that changed, and drift."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from analysis.logging_gaps import Gap, gaps
from charts.formatting import (
    count,
    plain,
)
from charts.layout import CONFIG
from charts.signals import (
    constant_words,
    gap_words,
    missing_heat,
    name_of,
    over_time,
    over_time_words,
)
from data.queries import overview
from data.queries.filters import Filter
from data.queries.signal_coverage import (
    EVERY,
    Constant,
    Days,
    constants,
    days,
    logged,
)
from data.queries.signals import signal_values
from data.schema.vocabulary import NAMES
from features.drift import LARGE, NOTICEABLE, Drift, class_drift, drift
from parts.server.caching import cached_data
from parts.shared.view import View, snapshot_at

PERIODS = {"7 days": 7, "14 days": 14, "28 days": 28}
# Turns of each period that the drift of signals is computed from, drawn from days of so many.
_SAMPLE = 20_000
_DAYS_OF = 200_000


def within(view: View) -> Filter:
    """The days and assistants of the filter; its other conditions do not apply here."""
    chosen = view.chosen
    return Filter(since=chosen.since, until=chosen.until, assistant=chosen.assistant)


@cached_data(max_entries=16, show_spinner="Looking at what is logged")
def coverage(
    path: str, version: str, chosen: Filter
) -> tuple[Days, pa.Table, list[Gap], list[Constant]]:
    """Days that are read, turns with each signal on them, changes of that, and constants."""
    snapshot = snapshot_at(path, version)
    read = days(snapshot, chosen)
    table = logged(snapshot, chosen, read)
    return read, table, gaps(table), constants(snapshot, chosen, read)


def signals(view: View) -> None:
    """Missing shares per assistant, their changes in words, and their course over time."""
    st.subheader(
        "Signal coverage",
        anchor=False,
        help="Which signals each assistant logs, on how many turns, and when that changed.",
    )
    read, table, changes, same = coverage(view.path, view.snapshot.version, within(view))
    if not table.num_rows:
        st.caption("No turn lies within these days.")
        return
    st.caption(
        (
            f"From {count(read.turns)} turns of {len(read.read)} days, spread over the "
            f"{read.all} days of the period: a sample of whole days."
            if read.sampled
            else f"From all {count(read.turns)} turns of {read.all} days."
        )
        + " Of the filters, days and assistants apply."
    )
    _changes(changes)
    _constants(same)
    assistants = sorted(set(table["assistant"].to_pylist()), key=lambda a: a or "")
    left, right = st.columns([1, 1.4], gap="medium")
    with left:
        st.markdown(
            "**Missing rate**", help="The share of turns on which the signal was not logged."
        )
        st.dataframe(
            missing_heat(table),
            hide_index=True,
            height=460,
            column_config={"Signal": st.column_config.TextColumn(pinned=True, width=190)},
        )
    with right:
        first = changes[0] if changes else None
        with st.container(horizontal=True, vertical_alignment="bottom"):
            assistant = st.selectbox(
                "Assistant",
                assistants,
                index=assistants.index(first.assistant) if first else 0,
                format_func=name_of,
                key="data-assistant",
            )
        mine = table.filter(
            pc.is_null(table["assistant"])
            if assistant is None
            else pc.equal(table["assistant"], assistant)
        )
        offered = list(dict.fromkeys(str(s) for s in mine["signal"].to_pylist()))
        changed = list(dict.fromkeys(g.signal for g in changes if g.assistant == assistant))
        picked = st.multiselect(
            "Signals",
            offered,
            default=(changed or ["asr.confidence", "nlu.confidence"])[:4],
            max_selections=5,
            key=f"data-signals-{assistant}",
        )
        if picked:
            marks = [g for g in changes if g.assistant == assistant]
            st.plotly_chart(
                over_time(mine, assistant, picked, marks),
                config=CONFIG,
                alt=over_time_words(assistant, picked, marks),
                key="missing",
            )
            with st.expander("As a table"):
                rows = [r for r in mine.to_pylist() if r["signal"] in picked]
                st.dataframe(
                    {
                        "Day": [r["day"] for r in rows],
                        "Signal": [r["signal"] for r in rows],
                        "Turns": [r["turns"] for r in rows],
                        "Missing": [100 * (1 - r["logged"] / r["turns"]) for r in rows],
                    },
                    hide_index=True,
                    height=260,
                    column_config={"Missing": st.column_config.NumberColumn(format="%.1f %%")},
                )


def _changes(changes: list[Gap]) -> None:
    if not changes:
        st.markdown("No assistant started or stopped logging a signal in this period.")
        return
    for gap in changes[:6]:
        icon = ":material/trending_down:" if gap.lost else ":material/trending_up:"
        st.markdown(f"{icon} {plain(gap_words(gap))}")
    if len(changes) > 6:
        with st.expander(f"{len(changes) - 6} more changes"):
            for gap in changes[6:60]:
                st.markdown(plain(gap_words(gap)))


def _constants(same: list[Constant]) -> None:
    """Confidences that never differ, as sentences."""
    for constant in same[:6]:
        st.markdown(f":material/horizontal_rule: {plain(constant_words(constant))}")
    if len(same) > 6:
        with st.expander(f"{len(same) - 6} more that are not informative"):
            for constant in same[6:60]:
                st.markdown(plain(constant_words(constant)))


@cached_data(max_entries=16, show_spinner="Comparing the two periods")
def _drift(
    path: str, version: str, chosen: Filter, now: tuple[date, date], then: tuple[date, date]
) -> tuple[list[Drift], tuple[int, int], bool]:
    snapshot = snapshot_at(path, version)
    sides, sampled = [], False
    for since, until in (then, now):
        period = Filter(since=since, until=until, assistant=chosen.assistant)
        read = days(snapshot, period, _DAYS_OF)
        values = signal_values(snapshot, period, _SAMPLE, days=read.read)
        sampled = sampled or read.sampled or read.turns > _SAMPLE
        sides.append(values)
    names = list(EVERY)
    sizes = (sides[0].num_rows, sides[1].num_rows)
    return (drift(sides[0], sides[1], names) if min(sizes) else []), sizes, sampled


@cached_data(max_entries=16, show_spinner=False)
def _classes(
    path: str,
    version: str,
    model: str,
    chosen: Filter,
    now: tuple[date, date],
    then: tuple[date, date],
) -> tuple[float, list[Drift], overview.Totals, overview.Totals]:
    snapshot = snapshot_at(path, version)
    sides = [
        overview.totals(
            overview.trend(
                snapshot, model, Filter(since=s, until=u, assistant=chosen.assistant), "month"
            )
        )
        for s, u in (then, now)
    ]
    counts = [{k: float(v) for k, v in side.counts.items()} for side in sides]
    psi, each = class_drift(counts[0], counts[1])
    return psi, each, sides[0], sides[1]


def drifting(view: View, first: date, last: date) -> None:
    """Signals and class shares of the last days against a reference period."""
    st.subheader(
        "Drift",
        anchor=False,
        help="How far the distribution of each signal has moved from a reference period.",
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        length = st.selectbox("The last", tuple(PERIODS), key="drift-now", width=150)
        against = st.selectbox(
            "against the",
            tuple(PERIODS),
            index=2,
            key="drift-then",
            width=220,
            format_func=lambda name: f"{name} before that",
        )
    end = min(view.chosen.until or last, last)
    now = (end - timedelta(days=PERIODS[length] - 1), end)
    then = (now[0] - timedelta(days=PERIODS[against]), now[0] - timedelta(days=1))
    st.caption(
        f"{now[0]:%-d %b} to {now[1]:%-d %b %Y} against {then[0]:%-d %b} to {then[1]:%-d %b %Y}."
        + (f" The store begins on {first:%-d %B %Y}." if first > then[0] else "")
    )
    chosen = within(view)
    drifts, sizes, sampled = _drift(view.path, view.snapshot.version, chosen, now, then)
    if not drifts:
        st.text("One of the two periods has no turns: choose another end day or shorter periods.")
        return
    if view.model:
        _class_table(*_classes(view.path, view.snapshot.version, view.model, chosen, now, then))
    moved = [signal for signal in drifts if signal.significant]
    st.markdown(
        f"**Signals** · {len(moved)} of {len(drifts)} moved noticeably, beyond chance"
        if moved
        else "**Signals** · none moved noticeably"
    )
    st.dataframe(
        {
            "Signal": [signal.name for signal in drifts],
            "PSI": [signal.psi for signal in drifts],
            "Interpretation": [_reading(signal) for signal in drifts],
            "Distance": [signal.distance for signal in drifts],
            _ADJUSTED: [_chance(signal.q_value) for signal in drifts],
            "Missing before": [100 * signal.missing_before for signal in drifts],
            "Missing now": [100 * signal.missing_now for signal in drifts],
        },
        hide_index=True,
        column_config=_COLUMNS,
    )
    st.caption(
        f"From {count(sizes[1])} turns now and {count(sizes[0])} before"
        + (", a seeded sample" if sampled else "")
        + f". PSI: population stability index; below {NOTICEABLE:g} stable, above {LARGE:g} "
        "shifted. Distance: Kolmogorov–Smirnov for numbers, total variation for words. P-values "
        "are adjusted over all signals (Benjamini–Hochberg), turns taken as independent."
    )


def _class_table(
    psi: float, each: list[Drift], then: overview.Totals, now: overview.Totals
) -> None:
    if not each:
        return
    st.markdown(
        f"**Predictions** · PSI {psi:.3f}, {_level(psi)}",
        help="How the shares of the predicted failure points moved.",
    )
    st.dataframe(
        {
            "Predicted failure point": [NAMES[verdict.name] for verdict in each],
            "Before": [100 * then.counts[verdict.name] / then.turns for verdict in each],
            "Now": [100 * now.counts[verdict.name] / now.turns for verdict in each],
            "PSI": [verdict.psi for verdict in each],
            _ADJUSTED: [_chance(verdict.q_value) for verdict in each],
        },
        hide_index=True,
        column_config=_COLUMNS,
    )


_PERCENT = st.column_config.NumberColumn(format="%.1f %%")
_ADJUSTED = "Adjusted p-value (FDR)"
_COLUMNS: dict[str, Any] = {
    "PSI": st.column_config.NumberColumn(
        format="%.3f",
        help="Population stability index: how far the distribution moved; "
        f"below {NOTICEABLE:g} stable, above {LARGE:g} shifted",
    ),
    "Distance": st.column_config.NumberColumn(
        format="%.3f", help="The largest difference between the two distributions, from 0 to 1"
    ),
    _ADJUSTED: st.column_config.TextColumn(
        help="How likely so large a difference is by chance alone, given that many signals were "
        "tested"
    ),
    **dict.fromkeys(("Missing before", "Missing now", "Before", "Now"), _PERCENT),
}


def _level(psi: float) -> str:
    return "stable" if psi < NOTICEABLE else "noticeable" if psi <= LARGE else "shifted"


def _reading(signal: Drift) -> str:
    if signal.psi >= NOTICEABLE and signal.q_value is not None and signal.q_value > 0.05:
        return f"{_level(signal.psi)}, may be chance"
    return _level(signal.psi)


def _chance(q_value: float | None) -> str:
    if q_value is None:
        return "–"
    return "below 0.001" if q_value < 0.001 else f"{q_value:.3f}"
