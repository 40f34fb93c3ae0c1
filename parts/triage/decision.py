"""Ownership and status of a slice (owner, state, note, ticket), and whether a fix helped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from analysis.fix_check import Fixed, fixed
from charts.formatting import (
    count,
    percent,
    plain,
    points,
)
from data.queries.slices import (
    Conditions,
    before_and_on,
    find_release,
)
from data.schema.vocabulary import version_title
from data.store import workspace
from parts.server.access import open_store
from parts.server.caching import cached_data
from parts.shared.view import CacheKey, View, go_to_newest
from parts.shared.writing import refused
from parts.triage.owners import ticket_link
from parts.triage.slice_picker import p_words


@cached_data(max_entries=64, show_spinner=False)
def _fixed(
    key: CacheKey,
    point: str,
    conditions: Conditions,
    release: tuple[str, str],
    _view: View,
) -> Fixed:
    assert _view.model is not None
    return fixed(
        *before_and_on(_view.snapshot, _view.model, point, _view.chosen, conditions, release)
    )


def decision(
    view: View,
    key: str,
    point: str,
    conditions: Conditions,
    recorded: Mapping[str, Any] | None,
) -> None:
    """Draw the form that records a decision, and whether a fix helped.

    `recorded` is the last decision about the slice (a row of `data.store.workspace.decisions`), if
    there is one.
    """
    assert view.model is not None
    st.subheader("Ownership and status", anchor=False)
    if recorded and recorded["state"] == "fixed" and recorded["version"]:
        release = find_release(view.snapshot, view.model, point, recorded["version"])
        outcome = _fixed(view.turns_key, point, conditions, release, view)
        st.markdown(plain(fixed_words(outcome, version_title(":".join(release)))))
    recorded = recorded or {}
    prefix = workspace.ticket_prefix(view.snapshot)
    with st.form(f"decision-{key}"):
        with st.grid(3, min_column_width=160, gap="small"):
            owner = st.text_input(
                "Owner", recorded.get("owner") or "", placeholder="nobody yet", max_chars=60
            )
            state = st.selectbox(
                "State", workspace.STATES, workspace.STATES.index(recorded.get("state") or "new")
            )
            version = st.text_input(
                "Fixed in version",
                recorded.get("version") or "",
                max_chars=100,
                placeholder="the release, as logged",
                help="As the logs name it, e.g. asr-4.3; needed for the state “fixed”.",
            )
        link = st.text_input(
            "Ticket",
            recorded.get("link") or "",
            placeholder="VA-123, or https://…" if prefix else "https://…",
            max_chars=2_000,
            help=f"A key such as VA-123 leads to {plain(prefix)}VA-123."
            if prefix
            else "A whole address; with a ticket prefix, set below, a short key is enough.",
        )
        note = st.text_area("Note", recorded.get("note") or "", height=80, max_chars=5_000)
        with st.container(horizontal=True, vertical_alignment="center"):
            saved = st.form_submit_button("Save", type="primary", icon=":material/save:")
            ticket_link(recorded.get("link"), prefix, recorded.get("ticket"))
            if recorded.get("updated_at"):
                st.caption(f"Last changed {recorded['updated_at']:%-d %B %Y}")
    _ticket_prefix(view, prefix)
    if saved:

        def save() -> None:
            store, ticket = open_store(view.path), link.strip()
            if ticket == (recorded.get("link") or ""):
                # Somebody may have opened one since this page was drawn.
                with store.snapshot(only=("triage",)) as newest:
                    ticket = (workspace.triage(newest).get(key) or {}).get("link") or ""
            workspace.set_triage(
                store,
                key,
                point,
                owner=owner,
                state=state or "new",
                version=version,
                note=note,
                link=ticket,
            )

        write(view, save)


def _ticket_prefix(view: View, prefix: str) -> None:
    """The setting that makes a ticket's key enough, for everybody who uses this store."""
    with (
        st.popover("Ticket prefix", icon=":material/confirmation_number:", type="tertiary"),
        st.form("ticket-prefix", border=False),
    ):
        entered = st.text_input(
            "What stands before a ticket’s key in its address",
            prefix,
            placeholder="https://tickets.example.org/browse/",
            max_chars=1_000,
        )
        saved = st.form_submit_button("Save the prefix")
        st.caption("For everybody who uses this store.")
    if saved:
        write(view, lambda: workspace.set_ticket_prefix(open_store(view.path), entered))


def write(view: View, change: Callable[[], object]) -> None:
    """Change the store and draw the page again at its newest version; errors in a sentence.

    What `change` returns, if it is a text, is told instead of “Saved.”
    """
    done: list[object] = []
    if problem := refused(lambda: done.append(change()), view.path):
        st.error(plain(problem))
        return
    go_to_newest()
    st.toast(plain(done[0]) if isinstance(done[0], str) else "Saved.")
    st.rerun()


def fixed_words(outcome: Fixed, release: str) -> str:
    """Whether the failure rate of a slice marked as fixed fell with `release`, in a sentence."""
    if outcome.finding == "unseen":
        return (
            f"{release} does not occur in these turns yet, so nobody knows whether it helps; if it "
            "should occur, compare its name with the versions among the filters."
        )
    sizes = f"{count(outcome.turns)} turns on {release}, {count(outcome.turns_before)} before"
    if outcome.finding == "few":
        return f"There are too few turns to tell whether {release} helped: {sizes}."
    ends = f"from {percent(outcome.before)} to {percent(outcome.after)}"
    change = f"{points(outcome.low)} to {points(outcome.high)}, {p_words(outcome.p_value)}; {sizes}"
    match outcome.finding:
        case "fell":
            return f"The rate fell {ends} with {release} ({change})."
        case "rose":
            return f"The rate did not fall with {release}: it rose {ends} ({change})."
        case _:
            return f"The rate did not fall clearly with {release}: {ends} ({change})."
