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
}
_MORE = ("text", "stage", "slot", "status", *BANDS, "source")
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
    """Draw the widgets and return what they say.

    `first` and `last` bound the days; `facets` gives what takes a look at every turn, and is asked
    only when its widgets are drawn.
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
    given = any(_given(key) for key in _MORE)
    more = st.expander("More", expanded=given, key="more", on_change="rerun")
    # Half of the widgets, which few look at: they are drawn for those who do.
    if given or more.open:
        with more:
            values |= _more(facets())
    if since and until and since > until:
        st.caption("“From” lies after “To”: there is no such day.")
    return Filter(**values).checked()


def _more(facets: dict[str, list[str]]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "text": (_words() or "").strip() or None,
        "stage": _several("stage", list(FAILURE_POINTS)),
    }
    for key in ("slot", "status"):
        values[key] = _several(key, facets[key])
    for key, bands in BANDS.items():
        chosen = _one(key, bands)
        values[key] = Range.parse(key, chosen) if chosen else None
    return values | {"source": _one("source", SOURCES)}


def _must_overlap(first: date, last: date) -> None:
    """A day of a link or a view that the widget would drop without a word, and show all turns."""
    for key in ("since", "until"):
        given = st.query_params.get(key)
        held: Any = st.session_state.get(key) or (day_of(key, given) if given else None)
        if held and (held > last if key == "since" else held < first):
            raise UsageError(
                f"{key}={held} leaves no day: turns were scored from {first} to {last}; choose a "
                "day of these."
            )
        if held and not first <= held <= last:
            # All of the days that there are.
            st.session_state[key] = None


def _several(key: str, found: list[str]) -> tuple[str, ...]:
    """Any number of values; what a link or a view has chosen is offered too."""
    given = _given(key)
    # One value for everything is nothing to choose, unless a link has chosen it.
    if len(found) < 2 and not given:
        return ()
    picked = st.multiselect(
        _LABELS[key],
        [*found, *(value for value in given if value not in found)],
        key=key,
        placeholder="all",
        bind="query-params",
        wrap=True,
    )
    return tuple(picked)


def _one(key: str, offered: Sequence[str]) -> str | None:
    """One value or none; a link or a view may hold another than those offered."""
    return st.selectbox(
        _LABELS[key],
        [*offered, *(value for value in _given(key) if value not in offered)],
        index=None,
        key=key,
        placeholder="any",
        bind="query-params",
    )


def _given(key: str) -> list[str]:
    """What a link says, and what this session holds."""
    held: Any = st.session_state.get(key) or []
    values = [*st.query_params.get_all(key), *([held] if isinstance(held, str) else held)]
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
                help=f"Look at more than {plain(chip.words)}",
                on_click=_remove,
                args=(chip,),
            )
        if len(chosen.chips()) > 1:
            st.button("Clear all", type="tertiary", on_click=clear)


def narrow(key: str, value: str) -> None:
    """Callback of a click on a mark or a cell: of what the filters let through, only that.

    Values of a list are alternatives, so the new one takes the place of the others, but for
    versions of other stages.
    """
    if key in LISTS:
        stage = value.partition(":")[0]
        held = st.session_state.get(key) or []
        others = [v for v in held if key == "version" and v.partition(":")[0] != stage]
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
    """Callback: take all filters away, and what else a link may have got wrong."""
    for key in ("failing", "slice"):
        st.session_state.pop(key, None)
        st.query_params.pop(key, None)
    for key in ("since", "until"):
        # Widgets that were not drawn because of what the link said.
        if key not in st.session_state:
            st.query_params.pop(key, None)
    for key in KEYS:
        if key in st.session_state:
            empty: Any = [] if key in LISTS else "" if key == "text" else None
            st.session_state[key] = empty
