"""What was decided about a rewrite, and the form that decides."""

from __future__ import annotations

import streamlit as st

from charts.formatting import moment, plain
from data.store.rewrites import APPROVED, LIVE, NEXT, PROPOSED, REJECTED, RETIRED, decide
from parts.server.access import open_store
from parts.shared.rewrites import Row
from parts.shared.verdict_form import name_field, remember_name
from parts.shared.view import View, go_to_newest, reader_zone
from parts.shared.writing import refused

# What a person may do; a rewrite goes live when a logged turn was executed by it.
_ACTIONS = {
    APPROVED: ("Approve", ":material/check:"),
    REJECTED: ("Reject", ":material/close:"),
    RETIRED: ("Retire", ":material/archive:"),
    PROPOSED: ("Propose again", ":material/undo:"),
}
_MEANS = {
    PROPOSED: "Mined, and not decided yet; it is not exported.",
    APPROVED: "Exported; it goes live with the first turn that an assistant rewrites by it.",
    LIVE: "Turns were rewritten by it; it is retired when it no longer helps.",
    RETIRED: "Was live, and is no longer exported.",
    REJECTED: "Never exported; it stays rejected when it is mined again.",
}


def decision(view: View, row: Row) -> None:
    """Draw the state of a rewrite, and what may follow it."""
    st.subheader("Decision", anchor=False)
    state = row["state"]
    st.markdown(f"**{plain(state.capitalize())}**{_by(row)}")
    st.caption(_MEANS[state])
    if row["reason"]:
        st.text(f"Reason: {row['reason']}")
    who = name_field("rewrite-who")
    with st.form(f"decide-{row['rewrite_id']}", border=False):
        reason = st.text_input(
            "Reason", max_chars=1_000, placeholder="needed to reject", key="rewrite-reason"
        )
        with st.container(horizontal=True, gap="small"):
            pressed = [following for following in _ACTIONS if _button(following, state)]
    remember_name()
    if not pressed:
        return
    chosen = pressed[0]
    problem = refused(
        lambda: decide(open_store(view.path), [row["rewrite_id"]], chosen, by=who, reason=reason),
        view.path,
    )
    if problem:
        st.error(plain(problem))
        return
    go_to_newest()
    st.toast("Saved.")
    st.rerun()


def _button(following: str, state: str) -> bool:
    """Draw the button for a state, if it may follow; whether it was pressed."""
    if following not in NEXT[state]:
        return False
    label, icon = _ACTIONS[following]
    primary = following == APPROVED
    return st.form_submit_button(label, icon=icon, type="primary" if primary else "secondary")


def _by(row: Row) -> str:
    """Who decided, and when; a decision without a name may be the program's own."""
    if not row["decided_at"]:
        return ""
    who = f" by {plain(row['decided_by'])}" if row["decided_by"] else ""
    return f"{who} on {moment(row['decided_at'], reader_zone())}"
