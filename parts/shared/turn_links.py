"""Tables of turns whose rows open the turn."""

from __future__ import annotations

from typing import Any

import streamlit as st

from parts.shared.view import View, reader_zone

Rows = list[dict[str, Any]]


def times(rows: Rows) -> tuple[list[Any], Any]:
    """When the turns started, in the reader's time zone, and how a table shows it."""
    zone = reader_zone()
    values = [row["started_at"].astimezone(zone) for row in rows]
    title = f"When ({values[0]:%Z})" if values else "When"
    return values, st.column_config.DatetimeColumn(title, format="D MMM YYYY, HH:mm:ss", width=170)


def openable(
    view: View, rows: Rows, columns: dict[str, Any], config: dict[str, Any], key: str, **more: str
) -> None:
    """Draw the columns of some turns; ticking a row opens its page, filters and version kept.

    `rows` hold turn_id and day; `more` are further URL parameters for the Turn page.
    """
    picked = st.dataframe(
        columns,
        hide_index=True,
        key=key,
        on_select="rerun",
        selection_mode="single-row",
        height="content",
        placeholder="–",
        column_config=config,
    )
    chosen = picked["selection"]["rows"]
    if chosen and chosen[0] < len(rows):
        row = rows[chosen[0]]
        st.switch_page(
            "pages/turn.py",
            query_params=view.link(turn=row["turn_id"], day=row["day"].isoformat(), **more),
        )
