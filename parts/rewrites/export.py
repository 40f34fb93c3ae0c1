"""Rewrites as a file that an assistant loads."""

from __future__ import annotations

import shlex

import streamlit as st

from charts.formatting import several
from data.export.rewrites import rewrite_lines
from data.store.rewrites import APPROVED, LIVE, STATES
from parts.server.access import download
from parts.shared.view import View

_DEFAULT = (APPROVED, LIVE)


def export_menu(view: View, states: dict[str, int]) -> None:
    """A download of the rewrites in some states, and the command that writes the same file."""
    with st.popover("Export", icon=":material/download:"):
        picked = st.pills(
            "States",
            STATES,
            selection_mode="multi",
            default=_DEFAULT,
            format_func=str.capitalize,
            key="rewrites-export-states",
        )
        chosen = tuple(state for state in STATES if state in picked)
        n = sum(states[state] for state in chosen)
        st.markdown(f"**{several(n, 'rewrite')}**, one JSON object to a line")
        st.download_button(
            "JSONL",
            download(
                "export",
                f"rewrites ({', '.join(chosen)})",
                lambda: b"".join(rewrite_lines(view.snapshot, chosen)),
            ),
            file_name=f"rewrites-{view.snapshot.version}.jsonl",
            mime="application/jsonl",
            icon=":material/download:",
            on_click="ignore",
            key="rewrites-export",
            disabled=not n,
        )
        st.caption(
            "Request, rewrite, user (of personal ones), method, support, success before and after, "
            "wins and losses. Approve some to fill it, or on the command line:"
            if not n
            else "Request, rewrite, user (of personal ones), method, support, success before and "
            "after, wins and losses. The same on the command line:"
        )
        only = [] if chosen == _DEFAULT else [w for state in chosen for w in ("--state", state)]
        command = ["faultline", "rewrites", "export", "--to", "rewrites.jsonl", *only]
        st.code(shlex.join([*command, "--store", view.path]), language=None, wrap_lines=True)
