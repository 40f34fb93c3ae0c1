"""The Overview as a file to keep or to mail."""

from __future__ import annotations

import streamlit as st

from parts.server.access import download
from parts.shared.headline import goal_success
from parts.shared.view import View
from report.contents import Events, Headline
from report.page import render, source_of


def report_button(view: View, head: Headline, happened: Events, targets: dict[str, float]) -> None:
    """Draw a button that renders the report when pressed; its contents are already computed."""

    def make() -> bytes:
        assert view.model is not None
        source = source_of(view.snapshot, view.model, view.chosen)
        html = render(source, head, happened, targets, goal_success(view, head))
        return html.encode()

    period = head.periods.shown
    st.download_button(
        "Report",
        download("report", "report of the Overview", make),
        file_name=f"faultline-{period.since}-{period.until}.html",
        mime="text/html",
        on_click="ignore",
        icon=":material/download:",
        help="This page as one HTML file that opens offline and can be mailed.",
    )
