"""What users taught: in numbers, and as a list."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import streamlit as st

from analysis.taught_effect import LEAST_USERS, Effect, effect
from charts.formatting import count, minute, percent, points, several
from charts.html import piece
from data.queries import preferences
from parts.server.caching import cached_data
from parts.shared import address
from parts.shared.choice import one_of
from parts.shared.turn_links import page_of
from parts.shared.view import CacheKey, View, reader_zone

TEMPLATE = "parts/teaching/teaching.html"
ALL = "all"
ROWS = 20
_KINDS = {ALL: "All", "concept": "Concepts", "preference": "Preferences"}
_BOX: dict[str, Any] = {"border": True, "height": "stretch"}
_EFFECT = (
    "Defects among the requests that somebody taught something about: since then, against before. "
    "The dialogues that taught it are left out. People teach when something has just failed, and "
    "some of it would have gone better anyway, so this is an upper bound of what teaching did."
)


def moment_now() -> datetime:
    """The present minute, so that answers can be cached."""
    return datetime.now(UTC).replace(second=0, microsecond=0)


def numbers(view: View) -> None:
    """Draw what was taught, how often it is used, and what it changed."""
    total = _totals(_key(view), moment_now() - timedelta(days=7), view)
    with st.grid(4, min_column_width=170, gap="small"):
        st.metric(
            "Taught",
            count(total["taught"]),
            delta=f"{count(total['lately'])} in the last 7 days",
            delta_color="off",
            delta_arrow="off",
            help="Concepts (a phrase and what it means) and preferences (a value to prefer).",
            **_BOX,
        )
        st.metric(
            "Users", count(total["users"]), help="Who taught something that is stored.", **_BOX
        )
        st.metric("Uses", count(total["used"]), help="By the assistant, since taught.", **_BOX)
        changed = effect(_changed(_with_turns(view), view)) if view.model else None
        if changed is not None:
            _effect(changed)


def _effect(changed: Effect) -> None:
    st.metric(
        "Defects since taught",
        f"{percent(changed.after)} :small[:gray[{percent(changed.before)} before]]",
        delta=points(changed.change),
        delta_color="off",
        delta_arrow="auto" if _clear(changed) else "off",
        delta_description=_interval(changed),
        help=f"{_EFFECT} {several(changed.turns[1], 'turn')} of {several(changed.users, 'user')} "
        f"since, {count(changed.turns[0])} before.",
        **_BOX,
    )


def _clear(changed: Effect) -> bool:
    return changed.low is not None and changed.high is not None and (
        changed.low > 0 or changed.high < 0
    )  # fmt: skip


def _interval(changed: Effect) -> str:
    if changed.low is None or changed.high is None:
        return f"fewer than {LEAST_USERS} users"
    return f"{100 * changed.low:+.1f} to {100 * changed.high:+.1f}"


def taught_list(view: View) -> None:
    """Draw the list, twenty to a page; a row opens it."""
    st.subheader(
        "Taught",
        anchor=False,
        help="What users taught the assistant, what is used most first. It holds for that user "
        "only.",
    )
    kind, find = _choices()
    only = None if kind == ALL else kind
    first = _listed(_key(view), moment_now(), only, find, 1, view)
    total = int(first["total"][0].as_py()) if first.num_rows else 0
    if not total:
        st.text("Nothing was taught within these choices.")
        return
    slot = st.container()
    page = page_of(-(-total // ROWS))
    rows = first if page == 1 else _listed(_key(view), moment_now(), only, find, page, view)
    changes: dict[str, Mapping[str, Any]] = {}
    if view.model:
        changes = {r["preference_id"]: r for r in _changed(_with_turns(view), view).to_pylist()}
    cells = [_row(view, row, changes.get(row["preference_id"])) for row in rows.to_pylist()]
    with slot:
        st.html(piece(TEMPLATE, "taught", rows=cells))


def _choices() -> tuple[str, str]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        kind = one_of(
            "Kind", tuple(_KINDS), "kind", words=_KINDS.__getitem__, hidden=True, default=ALL
        )
        st.session_state["find-taught"] = st.query_params.get("find", "")
        st.text_input(
            "Find",
            key="find-taught",
            placeholder="a user, or some words",
            label_visibility="collapsed",
            width=300,
            on_change=_find,
        )
    return kind, st.query_params.get("find", "").strip()


def _find() -> None:
    address.put("find", st.session_state["find-taught"].strip(), "page")


def _row(view: View, row: Mapping[str, Any], change: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "href": view.href("teaching", preference=row["preference_id"]),
        "name": row["name"],
        "value": row["value"],
        "kind": row["kind"],
        "expired": row["expired"],
        "cells": [
            row["user_id"],
            several(row["used"] or 0, "use"),
            minute(row["last_used_at"], reader_zone()) if row["last_used_at"] else "never",
            change_words(change),
        ],
    }


def change_words(change: Mapping[str, Any] | None) -> str:
    """Defects before and since: `34 → 12 %`; a dash where there are no turns on both sides."""
    if change is None or not (change["before_turns"] and change["after_turns"]):
        return "–"
    before = change["before_failing"] / change["before_turns"]
    after = change["after_failing"] / change["after_turns"]
    return f"{100 * before:.0f} → {percent(after, 0)}"


def _key(view: View) -> CacheKey:
    return view.cache_key("preferences")


def _with_turns(view: View) -> CacheKey:
    return view.cache_key("preferences", "turns", "predictions", "misdated")


@cached_data(max_entries=32, show_spinner=False)
def _totals(key: CacheKey, week: datetime, _view: View) -> dict[str, int]:
    return preferences.totals(_view.snapshot, _view.chosen, week)


@cached_data(max_entries=32, show_spinner=False)
def _listed(
    key: CacheKey, now: datetime, kind: str | None, find: str, page: int, _view: View
) -> pa.Table:
    skip = (page - 1) * ROWS
    return preferences.listed(_view.snapshot, _view.chosen, now, kind, find, ROWS, skip)


@cached_data(max_entries=16, show_spinner="Comparing before and since")
def _changed(key: CacheKey, _view: View) -> pa.Table:
    assert _view.model is not None
    return preferences.changed(_view.snapshot, _view.model, _view.chosen)
