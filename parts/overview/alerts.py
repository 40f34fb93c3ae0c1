"""The list of alerts, with what came of each and what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from alerts import desk
from alerts.rule import Rule
from charts.formatting import minute, plain, short
from data.store import workspace
from parts.server.access import open_store, signed_in_as
from parts.shared.alert_button import write
from parts.shared.verdict_form import signed_in
from parts.shared.view import View, reader_zone

# A word and a symbol beside it, so that colour is never the only difference.
_STATES = {
    "firing": "▲ firing",
    "ok": "✓ quiet",
    "no data": "? cannot be told",
    "new": "not evaluated yet",
}


def alert_list(view: View) -> None:
    """Draw the alerts, those that fire first, each with what can be done about it."""
    rows = workspace.alerts(view.snapshot)
    if not rows:
        return
    order = list(_STATES)
    firing = sum(row["state"] == "firing" for row in rows)
    st.subheader("Alerts", anchor=False, help="Rules that `faultline alerts run` evaluates.")
    with st.expander(f"{len(rows)} in all, {firing} firing", expanded=bool(firing)):
        for row in sorted(rows, key=lambda row: order.index(row["state"])):
            _alert(view, row)


def _alert(view: View, row: Mapping[str, Any]) -> None:
    key = row["alert_id"]
    said, buttons = st.columns([3, 2], vertical_alignment="center")
    with said:
        muted = ", muted" if row["muted"] else ""
        st.markdown(f"**{plain(row['name'])}**: {_STATES[row['state']]}{muted}")
        st.caption(plain(_words(row)))
    with buttons, st.container(horizontal=True, horizontal_alignment="right"):
        if row["state"] == "firing" and not row["acknowledged_at"]:
            _acknowledge(view, key)
        st.button(
            "Unmute" if row["muted"] else "Mute", key=f"alert-mute-{key}", type="tertiary",
            on_click=write,
            args=(view, lambda: desk.mute(open_store(view.path), key, not row["muted"])),
        )  # fmt: skip
        st.button(
            "Remove", key=f"alert-remove-{key}", type="tertiary", on_click=write,
            args=(view, lambda: desk.remove(open_store(view.path), key)),
        )  # fmt: skip


def _words(row: Mapping[str, Any]) -> str:
    zone = reader_zone()
    words = [row["sentence"] or Rule.of_row(row).words()]
    if row["state"] == "firing":
        words.append(f"Firing since {minute(row['fired_at'], zone)}.")
        if row["acknowledged_at"]:
            by = short(row["acknowledged_by"] or "somebody", 100)
            words.append(f"{by} looks at it since {minute(row['acknowledged_at'], zone)}.")
    return " ".join(words)


def _acknowledge(view: View, key: str) -> None:
    with st.popover("Acknowledge"), st.form(f"alert-acknowledge-{key}", border=False):
        field = f"alert-by-{key}"
        if signed_in_as() is None:
            st.text_input("Your name", key=field, max_chars=100, value=signed_in() or "")
        st.form_submit_button(
            "I look at it", on_click=write,
            args=(view, lambda: desk.acknowledge(
                open_store(view.path), key, signed_in_as() or str(st.session_state[field])
            )),
        )  # fmt: skip
