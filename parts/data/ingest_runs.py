"""Arrivals on the Data page: freshness, turns per day, runs, quarantine."""

from __future__ import annotations

import shlex
from datetime import date
from typing import Any

import pyarrow as pa
import streamlit as st

from charts.formatting import (
    count,
    moment,
    percent,
    plain,
    several,
    short,
)
from charts.layout import CONFIG
from charts.sentences import misdated_words
from charts.signals import arrivals, arrivals_words, name_of
from data.queries import ingest_runs
from parts.server.caching import cached_data
from parts.shared.formatted import MINUTE, formatted, long_day
from parts.shared.turn_links import Column, openable
from parts.shared.view import (
    View,
    reader_zone,
    snapshot_at,
)

ROWS = 15
EXAMPLES = 8
LEFT_OUT = 200
_CAUSES = {
    "not a number": "not a number (NaN or infinite)",
    "out of range": "beyond what the field can mean",
}


@cached_data(max_entries=8, show_spinner="Counting")
def _facts(path: str, version: str) -> tuple[dict[str, Any], pa.Table, pa.Table]:
    snapshot = snapshot_at(path, version)
    return (
        ingest_runs.totals(snapshot),
        ingest_runs.freshness(snapshot),
        ingest_runs.reasons(snapshot),
    )


@cached_data(max_entries=16, show_spinner=False)
def _daily(path: str, version: str, since: date | None, until: date | None) -> pa.Table:
    return ingest_runs.daily(snapshot_at(path, version), since, until)


def numbers(view: View) -> None:
    """Draw four numbers: newest turn, newest logs, turns, quarantined lines."""
    total, fresh, _ = _facts(view.path, view.snapshot.version)
    turns = view.snapshot.counts()["turns"]
    times: list[Any] = fresh["newest"].to_pylist()
    newest = max(times, default=None)
    zone = reader_zone()
    quarantined = view.snapshot.counts()["quarantine"]
    seen = total["turns"] + total["quarantined"]
    with st.grid(4, min_column_width=185, gap="small"):
        _metric("Newest turn", _when(newest, zone) if newest else "–")
        _metric("Newest logs", _when(total["newest"], zone) if total["newest"] else "–")
        _metric("Turns", count(turns))
        share = (
            f" :small[:gray[{percent(quarantined / seen)} of lines]]"
            if quarantined and seen
            else ""
        )
        _metric("Quarantined lines", f"{count(quarantined)}{share}")


def _when(value: Any, zone: Any) -> str:
    local = value.astimezone(zone)
    return f"{local.day} {local:%b} :small[:gray[{local:%Y, %H:%M %Z}]]"


def _metric(label: str, value: str) -> None:
    st.metric(label, value, border=True, height="stretch")


def freshness(view: View) -> None:
    """Turns per day, and how fresh each assistant is."""
    _, fresh, _ = _facts(view.path, view.snapshot.version)
    chosen, zone = view.chosen, reader_zone()
    daily = _daily(view.path, view.snapshot.version, chosen.since, chosen.until)
    st.subheader(
        "Turns per day",
        anchor=False,
        help="How many turns arrived for each day, by assistant: a gap is missing logs.",
    )
    if daily.num_rows:
        st.plotly_chart(arrivals(daily), config=CONFIG, alt=arrivals_words(daily), key="arrivals")
        with st.expander("As a table"):
            st.dataframe(
                {
                    "Day": daily["day"].to_pylist(),
                    "Assistant": [name_of(a) for a in daily["assistant"].to_pylist()],
                    "Turns": daily["turns"].to_pylist(),
                },
                hide_index=True,
                height=280,
            )
    else:
        st.caption("No turn lies within these days.")
    rows: list[dict[str, Any]] = fresh.to_pylist()
    last = max((row["newest"] for row in rows), default=None)
    st.dataframe(
        formatted(
            {
                "Assistant": [name_of(row["assistant"]) for row in rows],
                "Newest turn": [row["newest"].astimezone(zone) for row in rows],
                "Lag": [_behind(last - row["newest"]) for row in rows],
                "Turns": [row["turns"] for row in rows],
                "First day": [row["first_day"] for row in rows],
                "Days with turns": [row["days"] for row in rows],
                "Days without turns": [
                    (row["last_day"] - row["first_day"]).days + 1 - row["days"] for row in rows
                ],
            },
            {"Turns": count, "First day": long_day},
        ),
        hide_index=True,
        column_config={
            "Newest turn": st.column_config.DatetimeColumn(format=MINUTE),
            "Lag": st.column_config.TextColumn(
                help="How far its newest turn is behind the newest of all assistants"
            ),
        },
    )
    st.caption(
        "Days are UTC. Of the filters, only the days apply, and only to the chart; the rest of "
        "this part covers the whole store."
        if chosen
        else "Days are UTC."
    )


def _behind(lag: Any) -> str:
    hours = lag.total_seconds() / 3600
    if hours < 1 / 60:
        return "–"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def run_list(view: View) -> None:
    """Ingestion runs, newest first."""
    st.subheader(
        "Ingestion runs",
        anchor=False,
        help="Every file that was read, with what became of its lines.",
    )
    number = view.snapshot.counts()["runs"]
    total = _facts(view.path, view.snapshot.version)[0]
    if not number:
        st.caption("No run is recorded.")
        return
    slot = st.container()
    pages = -(-number // ROWS)
    page = st.pagination(pages, key="runs-page") if pages > 1 else 1
    rows: list[dict[str, Any]] = ingest_runs.runs(
        view.snapshot, ROWS, (page - 1) * ROWS
    ).to_pylist()
    zone = reader_zone()
    slot.dataframe(
        {
            "Finished": [row["finished_at"].astimezone(zone) for row in rows],
            "Duration": [
                f"{(row['finished_at'] - row['started_at']).total_seconds():.1f} s" for row in rows
            ],
            "File": [short(row["file"], 120) for row in rows],
            "Format": [row["format"] for row in rows],
            "Turns": [row["turns"] for row in rows],
            "Replaced": [row["replaced"] for row in rows],
            "ID conflicts": [row["conflicts"] for row in rows],
            "Interim": [row["interim"] for row in rows],
            "Impossible dates": [row["misdated"] for row in rows],
            "Quarantined": [row["quarantined"] for row in rows],
            "Unknown fields": [
                None if row["unknown_fields"] in (None, "{}") else short(row["unknown_fields"], 120)
                for row in rows
            ],
        },
        hide_index=True,
        placeholder="–",
        column_config={
            "Finished": st.column_config.DatetimeColumn(format=MINUTE),
            "Replaced": st.column_config.NumberColumn(help="Turns whose stored version changed"),
            "ID conflicts": st.column_config.NumberColumn(
                help="Records with the id of another turn: its dialogue or time differs"
            ),
            "Interim": st.column_config.NumberColumn(
                help="Interim results that came after the final one and did not replace it"
            ),
            "Impossible dates": st.column_config.NumberColumn(
                help="Turns before 2000 or later than they arrived: stored, in no figure over time"
            ),
            "Quarantined": st.column_config.NumberColumn(
                help="Lines that were rejected, with their reasons below"
            ),
            "Unknown fields": st.column_config.TextColumn(
                help="Fields that no part of a trace is called; kept in the field extra"
            ),
        },
    )
    st.caption(f"{count(number)} {'run' if number == 1 else 'runs'}, newest first.")
    conflicts, interim = total["conflicts"], total["interim"]
    if conflicts:
        st.warning(
            f"{several(conflicts, 'record')} had the id of another turn, whose dialogue or time "
            "differs. Those that were not stored are in quarantine below, unless the run was told "
            "to replace turns; ids must be unique.",
            icon=":material/warning:",
        )
    if interim:
        st.caption(
            f"{several(interim, 'interim result')} arrived after the final one, and did not "
            "replace it."
        )


def misdated(view: View) -> None:
    """Turns with impossible dates: how many, examples, and where the others are."""
    number = view.snapshot.counts()["misdated"]
    if not number:
        return
    st.subheader(
        "Impossible dates",
        anchor=False,
        help="Turns before 2000, or later than they arrived: their clock was wrong.",
    )
    st.text(misdated_words(number))
    rows: list[dict[str, Any]] = ingest_runs.misdated(view.snapshot, EXAMPLES).to_pylist()
    zone = reader_zone()
    openable(
        view,
        rows,
        [
            Column("Turn", [row["turn_id"] for row in rows]),
            Column("Logged date (UTC)", [f"{row['started_at']:%Y-%m-%d %H:%M:%S}" for row in rows]),
            Column("Arrived", [moment(row["arrived_at"], zone) for row in rows], "still"),
            Column("Assistant", [name_of(row["assistant"]) for row in rows]),
            Column("Device", [row["device_id"] for row in rows]),
            Column("Heard", [row["heard"] for row in rows]),
        ],
    )
    st.caption(
        "The latest arrivals; a row opens its turn. They are stored and scored, but belong to no "
        "day. All of them: the filter “Dates” under “More”, on the page Explore, or"
    )
    where = shlex.quote(view.path)
    st.code(f"faultline export misdated --to misdated.csv --store {where}", language=None)


def left_out(view: View) -> None:
    """Values that were dropped from turns: in which file and field, why, and how many."""
    number = view.snapshot.counts()["left_out"]
    if not number:
        return
    st.subheader(
        "Values left out",
        anchor=False,
        help="Numbers that no such field can have, or that are no numbers; the turn is stored "
        "without them.",
    )
    rows: list[dict[str, Any]] = ingest_runs.left_out(view.snapshot, LEFT_OUT).to_pylist()
    st.dataframe(
        {
            "File": [short(row["file"], 120) for row in rows],
            "Field": [short(row["field"], 80) for row in rows],
            "Reason": [_CAUSES.get(row["cause"], row["cause"]) for row in rows],
            "Count": [row["values"] for row in rows],
        },
        hide_index=True,
        column_config={"Reason": st.column_config.TextColumn(width="large")},
    )
    most = f" The {LEFT_OUT} most frequent are shown." if number > LEFT_OUT else ""
    st.caption(f"Their turns are stored without them, as if they had not been logged.{most}")


def quarantine(view: View) -> None:
    """Rejected lines: the kinds of reasons, and examples of the chosen kind."""
    st.subheader(
        "Quarantine",
        anchor=False,
        help="Lines that were rejected: kept aside with the field and the reason, in no figure.",
    )
    kinds: list[dict[str, Any]] = _facts(view.path, view.snapshot.version)[2].to_pylist()
    if not kinds:
        st.caption("Every line was understood: nothing is in quarantine.")
        return
    picked = st.dataframe(
        {
            "Field": [short(row["field"], 80) or "the line" for row in kinds],
            "Reason": [short(row["reason"], 160) for row in kinds],
            "Lines": [row["lines"] for row in kinds],
            "Files": [row["files"] for row in kinds],
            "Last": [row["last"].astimezone(reader_zone()) for row in kinds],
        },
        hide_index=True,
        key="quarantine-kinds",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "Last": st.column_config.DatetimeColumn(format=MINUTE),
            "Reason": st.column_config.TextColumn(width="large"),
        },
    )
    index = (picked["selection"]["rows"] or [0])[0]
    kind = kinds[index if index < len(kinds) else 0]
    where = f"{kind['field'] or 'the line'}: {short(kind['reason'], 120)}"
    st.markdown(f"**Examples** · {plain(where)}")
    slot = st.container()
    pages = -(-kind["lines"] // 5)
    page = st.pagination(pages, key=f"quarantine-page-{index}") if pages > 1 else 1
    lines = ingest_runs.examples(view.snapshot, kind["field"], kind["reason"], 5, (page - 1) * 5)
    with slot:
        for row in lines.to_pylist():
            st.caption(plain(f"{short(row['file'], 120)}, line {row['line']}"))
            st.code(short(row["excerpt"], 600), language=None, wrap_lines=True)
    st.caption("Tick a reason to see its lines. Corrected lines can be ingested again.")
