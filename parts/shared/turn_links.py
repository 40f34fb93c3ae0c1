"""Tables of turns whose rows are links to the turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlencode

import streamlit as st

from charts.formatting import percent, short
from charts.html import piece
from data.errors import UsageError
from parts.shared import address
from parts.shared.view import View, reader_zone

Rows = list[dict[str, Any]]
_LONGEST = 160


@dataclass(frozen=True)
class Column:
    """One column of a table of turns.

    Attributes
    ----------
    title
        The head.
    values
        One for each row: text or None; for the kind "failure" names of failure points.
    kind
        "still" does not wrap, "number" is aligned right, "failure" is drawn as a pill.
    order
        The column of `data.queries.turn_list.order_of` that a click on the head sorts all rows by;
        None if rows cannot be sorted by it.
    falls
        Whether the first click sorts the largest first.
    """

    title: str
    values: Sequence[str | None]
    kind: Literal["text", "still", "number", "failure"] = "text"
    order: str | None = None
    falls: bool = False
    help: str = ""


def times(rows: Rows, order: str | None = None) -> Column:
    """When the turns started, see `local_times`."""
    title, texts = local_times([row["started_at"] for row in rows])
    return Column(title, texts, "still", order, falls=True)


def local_times(starts: Sequence[datetime]) -> tuple[str, list[str]]:
    """A title with the reader's time zone, and the times; in summer and winter each has its own."""
    zone = reader_zone()
    local = [start.astimezone(zone) for start in starts]
    zones = {f"{start:%Z}" for start in local}
    if len(zones) == 1:
        return f"When ({zones.pop()})", [f"{start:%-d %b %Y, %H:%M:%S}" for start in local]
    return "When", [f"{start:%-d %b %Y, %H:%M:%S %Z}" for start in local]


def shares(
    title: str, values: Sequence[float | None], order: str | None = None, help: str = ""
) -> Column:
    """A column of probabilities, as percentages."""
    texts = [None if value is None else percent(value) for value in values]
    return Column(title, texts, "number", order, falls=True, help=help)


def openable(
    view: View,
    rows: Rows,
    columns: Sequence[Column],
    sorted_by: tuple[str, bool] | None = None,
    opens: str = "Heard",
    **more: str,
) -> None:
    """Draw some turns; a row is a link to its turn, filters and version kept.

    `rows` hold turn_id and day; `sorted_by` is the column that all rows are sorted by, and whether
    it falls; `opens` is the title of the column whose cells hold the links, or else the first one;
    `more` are further URL parameters for the Turn page.
    """
    titles = [column.title for column in columns]
    linked = titles.index(opens) if opens in titles else 0
    st.html(
        piece(
            "parts/shared/turn_links.html",
            "turns",
            words="Turns; each row opens its turn",
            columns=[
                {
                    "title": column.title,
                    "kind": column.kind,
                    "help": column.help,
                    "opens": number == linked,
                    "href": _sorting(column, sorted_by) if sorted_by and column.order else "",
                    "sorted": _sorted(column, sorted_by),
                }
                for number, column in enumerate(columns)
            ],
            rows=[
                {
                    "href": view.href(
                        "turn", turn=row["turn_id"], day=row["day"].isoformat(), **more
                    ),
                    "cells": [
                        short(value, _LONGEST) if (value := column.values[i]) else None
                        for column in columns
                    ],
                }
                for i, row in enumerate(rows)
            ],
        )
    )


def _sorted(column: Column, order: tuple[str, bool] | None) -> str:
    if order is None or column.order != order[0]:
        return ""
    return "descending" if order[1] else "ascending"


def _sorting(column: Column, order: tuple[str, bool]) -> str:
    """The address of the same page with all rows sorted by a column, or the other way round."""
    falls = not order[1] if column.order == order[0] else column.falls
    value = f"{'-' if falls else ''}{column.order}"
    others = {k: v for k, v in address.query().items() if k != "page"}
    return "?" + urlencode({**others, "order": [value]}, doseq=True)


def page_of(pages: int) -> int:
    """Draw a choice among the pages of a list, where there are several; kept in the address.

    Raises UsageError if the address names a page that is no number. One beyond the last is the
    last, because a newer filter may have made the list shorter.
    """
    text = st.query_params.get("page", "1")
    if not (text.isascii() and text.isdigit() and int(text[:9])):
        raise UsageError(f"Invalid page={text[:60]}; give the number of a page, from 1 on.")
    page = min(int(text[:9]), max(1, pages))
    if pages > 1:
        # A list of another length has another widget.
        key = f"page-of-{pages}"
        st.session_state[key] = page
        st.pagination(pages, key=key, on_change=_turn_page, args=(key,))
    return page


def _turn_page(key: str) -> None:
    page = st.session_state[key]
    address.put("page", str(page) if page > 1 else None)
