"""The ticket of a slice in an issue tracker: opening one, its state, and whether closing helped."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import pyarrow as pa
import streamlit as st

from analysis.period_comparison import TURNS
from charts.formatting import count, minute, percent, plain
from charts.sentences import day_words
from data.errors import UsageError
from data.intervals import wilson
from parts.server.access import open_store
from parts.shared.view import View, reader_zone
from parts.triage.decision import write
from tickets.desk import open_ticket, sync
from tickets.draft import Figures, Links, body, title
from tickets.settings import DASHBOARD, NONE, dashboard_url, trackers
from tickets.tracker import Tracker

# The slice whose ticket is being written, in the session.
_WRITING = "ticket-writing"
# Where the dashboard is said to be if neither the environment nor the browser says.
_HERE = "http://127.0.0.1:8501"


def ticket(view: View, key: str, figures: Figures, known: Mapping[str, Any] | None) -> None:
    """Draw the state of a slice's ticket, and what opens one.

    `known` is its row of `data.store.workspace.tickets`, if it has a ticket.
    """
    try:
        found, here = trackers(), dashboard_url()
    except UsageError as error:
        st.caption(plain(str(error)))
        return
    if not found:
        st.caption(f"{NONE} The guide docs/tickets.md says more.")
        return
    if known and any(tracker.key_of(known["url"]) for tracker in found):
        _state(view, key, figures, known, found)
        if known["state"] not in ("closed", "missing"):
            return
    elif known:
        st.caption("This ticket is in no tracker that is set up, so its state is not known.")
    turns: list[Any] = figures.days["turns"].to_pylist()
    if not sum(turns):
        return
    if st.session_state.get(_WRITING) != key:
        st.button(
            "Open a new ticket" if known else "Open a ticket",
            key=f"ticket-open-{key}",
            icon=":material/bug_report:",
            help=f"In {_places(found)}. You see it, and can change it, before it is sent.",
            on_click=_write_one,
            args=(key,),
        )
        return
    _form(view, key, figures, found, here)


def _write_one(key: str | None) -> None:
    st.session_state[_WRITING] = key


def _places(found: Sequence[Tracker]) -> str:
    return " or ".join(f"{plain(tracker.title)} ({plain(tracker.place)})" for tracker in found)


def _state(
    view: View,
    key: str,
    figures: Figures,
    known: Mapping[str, Any],
    found: Sequence[Tracker],
) -> None:
    """What the tracker last said, a way to ask again, and whether the slice is better."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Refresh",
            key=f"ticket-refresh-{key}",
            icon=":material/sync:",
            help="Ask the tracker for the ticket’s state. All at once: faultline tickets sync",
            on_click=st.session_state.__setitem__,
            args=("ticket-refresh", key),
        )
        if known["state"] is None:
            st.caption("The state of this ticket has not been asked for yet.")
        else:
            asked = minute(known["checked_at"], reader_zone())
            st.caption(f"**{plain(known['key'])}: {plain(known['status'])}**, as of {plain(asked)}")
    if known["state"] == "closed":
        st.markdown(plain(closed_words(figures.days, known["closed_at"])))
    if st.session_state.pop("ticket-refresh", None) == key:
        with st.spinner("Asking the tracker"):
            write(view, lambda: _refresh(view, key, found))


def _refresh(view: View, key: str, found: Sequence[Tracker]) -> str:
    synced = sync(open_store(view.path), found, [key])
    if synced.problems:
        raise UsageError(synced.problems[0])
    return "Its state changed." if synced.changed else "Its state is the same."


def closed_words(days: pa.Table, closed_at: datetime | None) -> str:
    """Whether a slice still fails more than the rest after its ticket was closed, in a sentence.

    `days`: as of `data.queries.slices.daily`; those after the day of `closed_at` count.
    """
    if closed_at is None:
        since, when = date.min, "Closed, the tracker does not say when"
    else:
        since, when = closed_at.date(), f"Closed on {day_words(closed_at.date(), True)}"
    rows = [row for row in days.to_pylist() if row["day"] > since]
    turns, total, everything, failed = (
        sum(row[name] for row in rows) for name in ("turns", "total", "all_turns", "all_total")
    )
    period = "in these turns" if closed_at is None else "since then"
    if turns < TURNS or everything == turns:
        return f"{when}; too few turns {period} to tell whether it helped ({count(turns)})."
    rate, rest = total / turns, max(0.0, failed - total) / (everything - turns)
    low, high = wilson(total, turns)
    sizes = (
        f"{percent(rate)} ({percent(low)} to {percent(high)}) of {count(turns)} turns {period}, "
        f"against {percent(rest)} elsewhere"
    )
    if low > rest:
        return f"{when}, but the rate is still higher than elsewhere: {sizes}."
    return f"{when}; the rate is no longer clearly higher than elsewhere: {sizes}."


def _form(view: View, key: str, figures: Figures, found: Sequence[Tracker], here: str) -> None:
    """The ticket as it would be sent, to be changed and sent."""
    point = figures.inside.failure_point
    with st.container(border=True):
        by_title = {tracker.title: tracker for tracker in found}
        tracker = found[0]
        if len(found) > 1:
            chosen = st.segmented_control(
                "Tracker",
                list(by_title),
                default=tracker.title,
                required=True,
                key=f"ticket-tracker-{key}",
            )
            tracker = by_title.get(str(chosen), tracker)
        texts = st.checkbox(
            "With words of users",
            key=f"ticket-texts-{key}",
            help="Adds what was heard in the examples, and words and mentions in the evidence. "
            "Users’ words can be personal data: the tracker has other readers, and deleting a turn "
            "here deletes nothing there.",
        )
        with st.spinner("Reading the turns of this slice"):
            text = body(figures, _links(view, key, point, here), texts)
        # A field keeps what was typed into it only as long as it starts from the same text.
        draft = zlib.crc32(text.encode())
        with st.form(f"ticket-{key}", border=False, enter_to_submit=False):
            heading = st.text_input(
                "Title", title(figures), max_chars=250, key=f"ticket-title-{draft}-{key}"
            )
            written = st.text_area(
                "Text, in Markdown", text, height=320, key=f"ticket-text-{draft}-{key}"
            )
            with st.container(horizontal=True, vertical_alignment="center"):
                sent = st.form_submit_button(
                    f"Open in {plain(tracker.title)}", type="primary", icon=":material/send:"
                )
                st.form_submit_button("Cancel", on_click=_write_one, args=(None,))
                st.caption(f"Goes to {plain(tracker.place)}.")
        if not here:
            st.caption(
                f"Its links lead to {plain(_origin())}; set {DASHBOARD} to the address at which "
                "others open this dashboard."
            )
    if sent:
        with st.spinner(f"Asking {plain(tracker.title)}"):
            write(view, lambda: _send(view, tracker, key, point, heading, written))


def _send(view: View, tracker: Tracker, key: str, point: str, heading: str, written: str) -> str:
    opened = open_ticket(open_store(view.path), tracker, key, point, heading, written)
    _write_one(None)
    if opened.new:
        return f"Opened {opened.ticket.key}."
    return f"{opened.ticket.key} was open for this slice already."


def _origin() -> str:
    parts = urlsplit(st.context.url or "")
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else _HERE


def _links(view: View, key: str, point: str, here: str) -> Links:
    """Addresses that lead other people to the slice and its turns."""

    def address(page: str, query: Mapping[str, Sequence[str]]) -> str:
        path = f"{here}/{page}" if here else _origin() + view.href(page).partition("?")[0]
        return f"{path}?{urlencode(query, doseq=True)}"

    of_slice = {"failing": [point], "slice": [key]}
    undated = replace(view.chosen, since=None, until=None).query()
    return Links(
        address("triage", {**view.link(), **of_slice}),
        address("triage", {**undated, **of_slice}),
        # Without a version, which is vacuumed some day.
        lambda turn, day: address("turn", {"turn": [turn], "day": [day.isoformat()]}),
    )
