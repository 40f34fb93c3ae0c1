"""The ranked table of rewrites: states and methods to choose, heads that sort, twenty to a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from charts.formatting import count, several
from charts.html import piece
from data.errors import UsageError
from data.queries.rewrites import ORDERS
from data.schema.trace import FAILURES
from data.store.rewrites import STATES
from parts.shared import address
from parts.shared.choice import one_of
from parts.shared.rewrites import (
    TEMPLATE,
    Row,
    a_week,
    outcome_words,
    pair,
    ranked,
    success_words,
    support_words,
    weeks,
)
from parts.shared.turn_links import page_of
from parts.shared.view import View

ALL = "all"
ROWS = 20
_SUCCESS = "Predicted, of the request as it is and of its rewrite."
_SUPPORT = "Users and sessions in which the request was said again."
_OUTCOMES = "On later sessions: failing turns that it mended, and turns that worked and it broke."


def rewrite_list(view: View, states: Mapping[str, int], methods: list[str]) -> None:
    """Draw the list; `states` says how many there are of each."""
    state, method = _choices(states, methods)
    order = st.query_params.get("order", "mended")
    if order not in ORDERS:
        raise UsageError(f"Unknown order={order[:60]}; give one of {', '.join(ORDERS)}.")
    slot = st.container()
    chosen: dict[str, Any] = {
        "states": STATES if state == ALL else (state,),
        "method": None if method == ALL else method,
        "order": order,
    }
    first = ranked(view, rows=ROWS, skip=0, **chosen)
    total = int(first["rewrites"][0].as_py()) if first.num_rows else 0
    if not total:
        st.text("No rewrite is in this state and of this method; choose others.")
        return
    page = page_of(-(-total // ROWS))
    rows = first if page == 1 else ranked(view, rows=ROWS, skip=(page - 1) * ROWS, **chosen)
    with slot:
        if view.chosen and not any(first["asked"].to_pylist()) and order == "mended":
            st.caption("No turn of these filters has a request with a rewrite; take one away.")
        _table(view, rows.to_pylist(), order)


def _choices(states: Mapping[str, int], methods: list[str]) -> tuple[str, str]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        state = one_of(
            "State",
            (ALL, *STATES),
            "state",
            words=lambda name: _with_count(name, states),
            hidden=True,
            default=ALL,
        )
        method = ALL
        if len(methods) > 1 or st.query_params.get("method"):
            method = one_of(
                "Method",
                (ALL, *methods),
                "method",
                words=lambda name: "All methods" if name == ALL else name.capitalize(),
                hidden=True,
                default=ALL,
            )
    return state, method


def _with_count(name: str, states: Mapping[str, int]) -> str:
    n = sum(states.values()) if name == ALL else states[name]
    return f"{name.capitalize()} {count(n)}"


def _table(view: View, rows: list[dict[str, Any]], order: str) -> None:
    span = weeks(view)
    scored = view.model is not None
    columns = [
        _column("Heard → rewrite", "text", order),
        _column(
            "Mends",
            "number",
            order,
            "mended",
            "Failures among the turns of these filters that it is expected to mend: those with its "
            "request, each as much as the rewrite raises its success.",
        )
        if scored
        else _column("Heard", "number", order, "heard", "Turns with the request."),
        _column("Success", "number", order, "success", _SUCCESS),
        _column("Support", "text", order, "support", _SUPPORT),
        _column("Win : loss", "number", order, "wins", _OUTCOMES),
        _column("Mends most", "failure", order, help="What failed on its turns, mostly."),
        _column("Method", "still", order),
        _column("State", "state", order),
    ]
    cells = [
        {
            **pair(view, row),
            "cells": [
                a_week(row["mended_defect"], span) if scored else several(row["asked"], "turn"),
                success_words(row),
                support_words(row),
                outcome_words(row),
                _point(row),
                row["method"],
                row["state"],
            ],
        }
        for row in rows
    ]
    st.html(piece(TEMPLATE, "ranked", columns=columns, rows=cells))


def _point(row: Row) -> str | None:
    """Its failure point, where it is one that the pages know."""
    return row["failure_point"] if row["failure_point"] in FAILURES else None


def _column(
    title: str, kind: str, order: str, sorts: str | None = None, help: str = ""
) -> dict[str, Any]:
    others = {k: v for k, v in address.query().items() if k not in ("page", "order")}
    link = "" if sorts is None else "?" + urlencode({**others, "order": [sorts]}, doseq=True)
    return {
        "title": title,
        "kind": kind,
        "help": help,
        "href": link,
        "sorted": sorts is not None and sorts == order,
    }
