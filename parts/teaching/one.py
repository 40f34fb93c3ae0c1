"""One thing that a user taught: its provenance and use, what it changed, edit and forget."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import streamlit as st

from charts.formatting import count, minute, plain, several, short
from charts.html import piece
from data.queries import preferences
from data.queries.filters import Filter
from labels.teaching.preferences import edit, forget
from parts.server.access import open_store
from parts.shared.address import PARAMETERS
from parts.shared.turn_links import Column, openable, shares, times
from parts.shared.view import View, go_to_newest, reader_zone
from parts.shared.writing import refused
from parts.teaching.taught import TEMPLATE, change_words, moment_now

Row = Mapping[str, Any]
_BOX: dict[str, Any] = {"border": True, "height": "stretch"}
_ASKED = "forget-asked"


def one(view: View, preference_id: str) -> None:
    """Draw it, or say that there is none with this id."""
    own = " ".join(key for key in PARAMETERS["teaching"] if key != "preference")
    st.html(piece(TEMPLATE, "back", href=view.href("teaching"), own=own), width="content")
    row = preferences.one(view.snapshot, preference_id, moment_now())
    if row is None:
        st.subheader("No such thing was taught", anchor=False)
        st.text(
            f"There is no preference “{short(preference_id)}” in version {view.snapshot.version} "
            "of this store; it may have been forgotten."
        )
        return
    verb = "means" if row["kind"] == "concept" else "is"
    st.header(
        f"“{plain(short(row['name'], 90))}” {verb} “{plain(short(row['value'], 90))}”",
        anchor=False,
    )
    st.caption(_facts(row))
    change = _numbers(view, row)
    left, right = st.columns([1.7, 1], gap="medium")
    with left:
        _said(view, row)
    with right:
        _form(view, row)
        _forget(view, row)
    if change is not None:
        _turns(view, row)


def _facts(row: Row) -> str:
    where = "everywhere" if row["scope"] == "user" else f"on {plain(short(row['scope'], 40))} only"
    expiry = ""
    if row["expires_at"]:
        verb = "expired" if row["expired"] else "expires"
        expiry = f"{verb} {minute(row['expires_at'], reader_zone())}"
    parts = [
        plain(short(row["kind"], 40)),
        f"of {plain(short(row['user_id'], 60))}",
        where,
        plain(short(row["assistant"], 60)) if row["assistant"] else "",
        f"taught {minute(row['created_at'], reader_zone())}",
        expiry or "does not expire",
    ]
    return " · ".join(filter(None, parts))


def _numbers(view: View, row: Row) -> Row | None:
    """Draw its use and what it changed; returns the counts of the turns that it is about."""
    change = None
    if view.model:
        found = preferences.changed(
            view.snapshot, view.model, Filter(), row["preference_id"]
        ).to_pylist()
        change = found[0] if found else None
    with st.grid(3, min_column_width=170, gap="small"):
        st.metric(
            "Uses",
            count(row["used"] or 0),
            delta=f"last {minute(row['last_used_at'], reader_zone())}"
            if row["last_used_at"]
            else "never used",
            delta_color="off",
            delta_arrow="off",
            help="How often the assistant used it.",
            **_BOX,
        )
        st.metric(
            "Defects",
            change_words(change),
            help="Of the turns that it is about, how many probably failed: before it was taught, "
            "and since.",
            **_BOX,
        )
        before, after = (change["before_turns"], change["after_turns"]) if change else (0, 0)
        st.metric(
            "Turns",
            several(after, "turn"),
            delta=f"{count(before)} before",
            delta_color="off",
            delta_arrow="off",
            help="Turns of this user that say the phrase or have the slot, since it was taught.",
            **_BOX,
        )
    return change


def _said(view: View, row: Row) -> None:
    st.subheader("How it was taught", anchor=False, help="The turns of the dialogue it came from.")
    if row["said"]:
        st.text(f"“{short(row['said'], 400)}”")
    steps = preferences.taught_in(view.snapshot, list(row["turn_ids"] or ()))
    if not steps:
        st.caption("None of the turns that taught it is in this store any more.")
        return
    told = [
        {
            "heard": step["heard"],
            "response": step["response"],
            "href": view.href("turn", turn=step["turn_id"], day=step["day"].isoformat()),
        }
        for step in steps
    ]
    st.html(piece(TEMPLATE, "dialogue", steps=told))


def _form(view: View, row: Row) -> None:
    st.subheader("Change", anchor=False)
    key = row["preference_id"]
    with st.form(f"edit-{key}", border=False):
        value = st.text_input("Value", row["value"], max_chars=500, key=f"value-{key}")
        scope = st.text_input(
            "Where it holds",
            row["scope"],
            max_chars=60,
            key=f"scope-{key}",
            help="user: everywhere; or a device type, such as phone.",
        )
        expires = st.date_input(
            "Expires after",
            row["expires_at"].date() if row["expires_at"] else None,
            key=f"expires-{key}",
            format="YYYY-MM-DD",
            help="The last day on which it holds (UTC); empty if it does not expire.",
        )
        pressed = st.form_submit_button("Save", icon=":material/save:")
    if pressed:
        day = expires if isinstance(expires, date) else None
        _changed(view, lambda: _edit(view.path, row, str(value), str(scope), day), "Saved.")


def _edit(path: str, row: Row, value: str, scope: str, day: date | None) -> None:
    until = None if day is None else datetime.combine(day + timedelta(days=1), time(), UTC)
    same = row["expires_at"] is not None and day == row["expires_at"].date()
    new = edit(
        open_store(path),
        row["preference_id"],
        value=value,
        scope=scope.strip() or "user",
        expires_at=None if same else until,
        keep=day is None,
    )
    # Another scope is another thing that was taught, with an id of its own.
    st.query_params["preference"] = new["preference_id"]


def _forget(view: View, row: Row) -> None:
    if st.session_state.get(_ASKED) != row["preference_id"]:
        st.button(
            "Forget",
            icon=":material/delete:",
            on_click=st.session_state.__setitem__,
            args=(_ASKED, row["preference_id"]),
        )
        return
    st.markdown("Forget it? It cannot be taken back; the user can teach it again.")
    with st.container(horizontal=True, gap="small"):
        sure = st.button("Forget it", type="primary", icon=":material/delete:")
        st.button("Keep it", on_click=st.session_state.pop, args=(_ASKED, None))
    if sure:
        st.session_state.pop(_ASKED, None)

        def change() -> None:
            forget(open_store(view.path), [row["preference_id"]])
            del st.query_params["preference"]

        _changed(view, change, "Forgotten.")


def _changed(view: View, change: Any, words: str) -> None:
    problem = refused(change, view.path)
    if problem:
        st.error(plain(problem))
        return
    go_to_newest()
    st.toast(words)
    st.rerun()


def _turns(view: View, row: Row) -> None:
    assert view.model is not None
    st.subheader(
        "Turns that it is about",
        anchor=False,
        help="The newest turns of this user that say the phrase or have the slot.",
    )
    rows = preferences.latest(view.snapshot, view.model, row["preference_id"]).to_pylist()
    columns = [
        Column("Heard", [turn["heard"] for turn in rows]),
        Column("When taught", ["since" if t["after"] else "before" for t in rows], "still"),
        shares("Defect", [turn["p_defect"] for turn in rows]),
        times(rows),
    ]
    openable(view, rows, columns)
