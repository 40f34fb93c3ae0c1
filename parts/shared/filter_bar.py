"""The filters in the sidebar, bound to the URL, and the same in words above a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import streamlit as st

from charts.formatting import plain
from data.errors import UsageError
from data.queries.filters import (
    BANDS,
    COLUMNS,
    KEYS,
    LISTS,
    SOURCES,
    Chip,
    Filter,
    Range,
    day_of,
)
from data.schema.trace import FAILURE_POINTS

_LABELS = {
    "assistant": "Assistant",
    "locale": "Locale",
    "device": "Device",
    "domain": "Domain",
    "intent": "Intent",
    "version": "Version",
    "stage": "Called",
    "slot": "Slot",
    "status": "Status",
    "confidence": "ASR confidence",
    "words": "Words in the request",
    "hour": "Hour of the day, UTC",
    "defect": "Probability of a defect",
    "source": "Annotated?",
    "dates": "Dates",
}
_MORE = ("text", "stage", "slot", "status", *BANDS, "source", "dates")
_PERIODS = {"7 days": 7, "28 days": 28, "90 days": 90, "All": None}


def model_choice(models: list[str], present: str) -> None:
    """A choice among the models that have scored this version."""
    st.session_state["model_choice"] = present
    st.selectbox("Model", models, key="model_choice", on_change=_use_model)


def _use_model() -> None:
    st.query_params["model"] = st.session_state["model"] = st.session_state["model_choice"]


def filters(
    first: date,
    last: date,
    options: dict[str, list[str]],
    facets: Callable[[], dict[str, list[str]]],
) -> Filter:
    """Draw the filter widgets and return the filter that they express.

    `first` and `last` are the first and last scored day. `facets` returns the options that need a
    scan of all turns; it is called only when their widgets are drawn. Raises UsageError if a link
    holds an invalid value.
    """
    _must_overlap(first, last)
    bounds: dict[str, Any] = {"min_value": first, "max_value": last, "format": "YYYY-MM-DD"}
    since = st.date_input("From", value=None, key="since", bind="query-params", **bounds)
    until = st.date_input("To", value=None, key="until", bind="query-params", **bounds)
    with st.container(horizontal=True, gap="small"):
        for label, days in _PERIODS.items():
            st.button(label, type="tertiary", on_click=_period, args=(first, last, days))
    values: dict[str, Any] = {"since": since, "until": until}
    for key in (*COLUMNS, "version"):
        values[key] = _several(key, options.get(key, []))
    in_use = any(_selected(key) for key in _MORE)
    more = st.expander("More", expanded=in_use, key="more", on_change="rerun")
    # Half of the widgets, rarely used: they are drawn only when the section is open.
    if in_use or more.open:
        with more:
            values |= _more(facets())
    if since and until and since > until:
        st.caption("“From” is after “To”, so no day is left.")
    return Filter(**values).checked()


def _more(facets: dict[str, list[str]]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "text": (_words() or "").strip() or None,
        "stage": _several("stage", list(FAILURE_POINTS)),
    }
    for key in ("slot", "status"):
        values[key] = _several(key, facets[key])
    for key, bands in BANDS.items():
        chosen = _single(key, bands)
        values[key] = Range.parse(key, chosen) if chosen else None
    values["source"] = _single("source", SOURCES)
    # Nothing to choose where every date is possible.
    if facets["dates"] or _selected("dates"):
        values["dates"] = _single("dates", facets["dates"])
    return values


def _must_overlap(first: date, last: date) -> None:
    """Refuse a day outside the scored ones: its widget would drop it without a word."""
    for key in ("since", "until"):
        text = st.query_params.get(key)
        day: Any = st.session_state.get(key) or (day_of(key, text) if text else None)
        if day and (day > last if key == "since" else day < first):
            raise UsageError(
                f"{key}={day} leaves no day: turns were scored from {first} to {last}; choose a "
                "day in this range."
            )
        if day and not first <= day <= last:
            # The bound restricts nothing.
            st.session_state[key] = None


def _several(key: str, options: list[str]) -> tuple[str, ...]:
    """Any number of values; those that a link or a view has chosen are offered too."""
    selected = _selected(key)
    # A single value leaves nothing to choose, unless a link has chosen it.
    if len(options) < 2 and not selected:
        return ()
    picked = st.multiselect(
        _LABELS[key],
        [*options, *(value for value in selected if value not in options)],
        key=key,
        placeholder="all",
        bind="query-params",
        wrap=True,
    )
    return tuple(picked)


def _single(key: str, offered: Sequence[str]) -> str | None:
    """One value or none; a link or a view may hold a value that is not among `offered`."""
    return st.selectbox(
        _LABELS[key],
        [*offered, *(value for value in _selected(key) if value not in offered)],
        index=None,
        key=key,
        placeholder="any",
        bind="query-params",
    )


def _selected(key: str) -> list[str]:
    """The values in the link, and those in this session."""
    value: Any = st.session_state.get(key) or []
    values = [*st.query_params.get_all(key), *([value] if isinstance(value, str) else value)]
    return [value for value in dict.fromkeys(values) if value]


def _words() -> str | None:
    return st.text_input("Words heard", key="text", placeholder="any", bind="query-params")


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
                help=f"Remove the filter: {plain(chip.words)}",
                on_click=_remove,
                args=(chip,),
            )
        if len(chosen.chips()) > 1:
            st.button("Clear all", type="tertiary", on_click=clear)


def narrow(key: str, value: str) -> None:
    """Callback of a click on a mark or a cell: narrow the filters to its value.

    Values of a list are alternatives, so the new one replaces the others, except versions of other
    stages.
    """
    if key in LISTS:
        stage = value.partition(":")[0]
        current = st.session_state.get(key) or []
        others = [v for v in current if key == "version" and v.partition(":")[0] != stage]
        st.session_state[key] = [*others, value]
    else:
        st.session_state[key] = value


def _period(first: date, last: date, days: int | None) -> None:
    start = None if days is None else last - timedelta(days=days - 1)
    st.session_state["since"] = max(first, start) if start else None
    st.session_state["until"] = last if start else None


def _remove(chip: Chip) -> None:
    if chip.key in ("since", "until"):
        st.session_state[chip.key] = None
    elif chip.key not in LISTS:
        st.session_state[chip.key] = "" if chip.key == "text" else None
    else:
        st.session_state[chip.key] = [v for v in st.session_state[chip.key] if v != chip.value]


def clear() -> None:
    """Callback: remove all filters, and the other parameters that a link may have got wrong."""
    for key in ("failing", "slice", "against", "release_a", "release_b"):
        st.session_state.pop(key, None)
        st.query_params.pop(key, None)
    for key in ("since", "until"):
        # Their widgets were not drawn if the link's days were refused.
        if key not in st.session_state:
            st.query_params.pop(key, None)
    for key in KEYS:
        if key in st.session_state:
            empty: Any = [] if key in LISTS else "" if key == "text" else None
            st.session_state[key] = empty
