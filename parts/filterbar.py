"""The filters in the sidebar, bound to the URL, and the same in words above a page."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import streamlit as st

from charts.words import plain
from data.filters import COLUMNS, Chip, Filter

_LABELS = {
    "assistant": "Assistant",
    "locale": "Locale",
    "device": "Device",
    "domain": "Domain",
    "intent": "Intent",
    "version": "Version",
}
_PERIODS = {"7 days": 7, "28 days": 28, "90 days": 90, "All": None}


def model_choice(models: list[str], present: str) -> None:
    """A choice among the models that have scored this version."""
    st.session_state["model_choice"] = present
    st.selectbox("Model", models, key="model_choice", on_change=_use_model)


def _use_model() -> None:
    st.query_params["model"] = st.session_state["model"] = st.session_state["model_choice"]


def filters(first: date, last: date, options: dict[str, list[str]]) -> Filter:
    """Draw the widgets and return what they say; `first` and `last` bound the days."""
    bounds: dict[str, Any] = {"min_value": first, "max_value": last, "format": "YYYY-MM-DD"}
    since = st.date_input("From", value=None, key="since", bind="query-params", **bounds)
    until = st.date_input("To", value=None, key="until", bind="query-params", **bounds)
    with st.container(horizontal=True, gap="small"):
        for label, days in _PERIODS.items():
            st.button(label, type="tertiary", on_click=_period, args=(first, last, days))
    values: dict[str, tuple[str, ...]] = {}
    for key in (*COLUMNS, "version"):
        found = options.get(key, [])
        # One value for everything is nothing to choose, unless a link has chosen it.
        if len(found) < 2 and not st.query_params.get_all(key):
            continue
        picked = st.multiselect(
            _LABELS[key], found, key=key, placeholder="all", bind="query-params", wrap=True
        )
        values[key] = tuple(picked)
    if since and until and since > until:
        st.caption("“From” lies after “To”: there is no such day.")
    return Filter(since=since, until=until, **values)


def chips(chosen: Filter, turns: str) -> None:
    """The filter in words, each condition a button that removes it; `turns` says what is left."""
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        st.markdown(f"**{turns}**" if chosen else f"**All turns** · {turns}")
        for chip in chosen.chips():
            st.button(
                plain(chip.words),
                key=f"chip-{chip.key}-{chip.value}",
                icon=":material/close:",
                icon_position="right",
                help=f"Look at more than {plain(chip.words)}",
                on_click=_remove,
                args=(chip,),
            )
        if len(chosen.chips()) > 1:
            st.button("Clear all", type="tertiary", on_click=_clear)


def _period(first: date, last: date, days: int | None) -> None:
    start = None if days is None else last - timedelta(days=days - 1)
    st.session_state["since"] = max(first, start) if start else None
    st.session_state["until"] = last if start else None


def _remove(chip: Chip) -> None:
    if chip.key in ("since", "until"):
        st.session_state[chip.key] = None
    else:
        st.session_state[chip.key] = [v for v in st.session_state[chip.key] if v != chip.value]


def _clear() -> None:
    for key in (*COLUMNS, "version"):
        if key in st.session_state:
            st.session_state[key] = []
    st.session_state["since"] = st.session_state["until"] = None
