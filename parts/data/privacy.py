"""Personal data on the Data page: what is redacted, how long tables are kept, what was deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from charts.formatting import minute, plain, several
from data.errors import PrivacyError, StoreDamaged, UsageError
from data.store.deletions import deletions
from data.store.privacy import chosen
from data.store.retention_policy import policy
from data.store.store import Store
from parts.server.access import open_store
from parts.shared.view import View, reader_zone

# The newest deletions that are listed.
_LISTED = 50


def privacy(view: View) -> None:
    """Draw what the store does about personal data; names and ids are in none of it."""
    st.subheader(
        "Personal data",
        anchor=False,
        help="Set by: faultline redact, faultline retention. More, and the deletion of one user: "
        "faultline deletions.",
    )
    store = open_store(view.path)
    st.text(_redaction(store))
    st.text(_retention(view))
    try:
        records = deletions(store)
    except StoreDamaged as error:
        st.text(str(error))
        return
    if records.problem:
        st.text(
            f"The log of deletions is not as it was written ({records.problem}); compare it with "
            "a backup."
        )
    if not records.rows:
        st.caption("Nothing was deleted.")
        return
    shown = records.rows[: -_LISTED - 1 : -1]
    st.dataframe(
        {
            "Deleted": [_time(row["at"]) for row in shown],
            "By": [_by(row) for row in shown],
            "Turns": [row["rows"].get("turns", 0) for row in shown],
            "Rows of other tables": [
                sum(number for name, number in row["rows"].items() if name != "turns")
                for row in shown
            ],
            "Files removed": [_files(row) for row in shown],
        },
        hide_index=True,
        key="deletions",
    )
    if len(shown) < len(records.rows):
        st.caption(f"The newest {len(shown)} of {several(len(records.rows), 'deletion')}.")


def _redaction(store: Store) -> str:
    try:
        choice = chosen(store)
    except PrivacyError as error:
        return str(error)
    if choice is None:
        return "Nothing is redacted as logs are ingested, and users keep their ids."
    kinds = ", ".join(choice.kinds)
    users = "have pseudonyms" if choice.fingerprint else "keep their ids"
    redacted = f"Redacted as logs are ingested: {kinds}." if kinds else "Nothing is redacted."
    return f"{redacted} Users {users}."


def _retention(view: View) -> str:
    try:
        days = policy(view.snapshot)
    except UsageError as error:
        return str(error)
    if not days:
        return "No table has a time after which its rows are deleted."
    listed = ", ".join(f"{name} {several(number, 'day')}" for name, number in days.items())
    return f"Kept, until faultline retain is run: {listed}."


def _time(at: str) -> str:
    return minute(datetime.fromisoformat(at), reader_zone())


def _by(row: dict[str, Any]) -> str:
    if row["what"] == "delete":
        return f"request for {several(len(row['asked']), 'id')}"
    return {"retain": "retention"}.get(row["what"], plain(row["what"]))


def _files(row: dict[str, Any]) -> str:
    if row["undone"]:
        when = "repeated since" if row["repeated"] else "to be repeated"
        return f"undone by a repair, {when}"
    return _time(row["files_gone"]) if row["files_gone"] else "not yet (vacuum)"
