"""The filters in the sidebar, and the same in words above a page.

The widgets show the filter of the address (`parts.shared.address`), and change nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import streamlit as st

from charts.formatting import plain
from data.errors import UsageError
from data.queries.filters import (
    BANDS,
    COLUMNS,
    LISTS,
    NEGATIVE,
    NOT,
    SOURCES,
    Chip,
    Filter,
    Range,
)
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import NAMES, version_title
from parts.shared import address
from parts.shared.view import current_view

_LABELS = {
    "assistant": "Assistant",
    "locale": "Locale",
    "device": "Device",
    "domain": "Domain",
    "intent": "Intent",
    "version": "Version",
    "failure_point": "Predicted failure point",
    "slot": "Slot",
    "status": "Status",
    "confidence": "ASR confidence",
    "words": "Words in the request",
    "hour": "Hour of the day, UTC",
    "defect": "Probability of a defect",
    "source": "Annotated?",
    "dates": "Dates",
}
_ALWAYS = ("failure_point", *COLUMNS, "version")
_MORE = ("text", "slot", "status", *BANDS, "source", "dates")
_PERIODS = {"7 days": 7, "28 days": 28, "90 days": 90, "All": None}


def model_choice(models: list[str], present: str) -> None:
    """A choice among the models that have scored this version."""
    st.session_state["model_choice"] = present
    st.selectbox("Model", models, key="model_choice", on_change=_use_model)


def _use_model() -> None:
    st.session_state["model"] = st.session_state["model_choice"]
    address.put("model", st.session_state["model_choice"])


def filters(
    chosen: Filter,
    first: date,
    last: date,
    options: dict[str, list[str]],
    facets: Callable[[], dict[str, list[str]]],
    keys: Collection[str],
) -> None:
    """Draw the widgets of the filters `keys`, and of those that `chosen` has beside them.

    `first` and `last` are the first and last scored day. `facets` returns the options that need a
    scan of all turns; it is called only when their widgets are drawn.
    """
    shown = {*keys, *chosen.query()}
    bounds: dict[str, Any] = {"min_value": first, "max_value": last, "format": "YYYY-MM-DD"}
    days = [(key, label) for key, label in (("since", "From"), ("until", "To")) if key in shown]
    for key, label in days:
        st.session_state[key] = getattr(chosen, key)
        st.date_input(label, value=None, key=key, on_change=_changed, args=(key,), **bounds)
    if len(days) == 2:
        with st.container(horizontal=True, gap="small"):
            for label, length in _PERIODS.items():
                st.button(label, type="tertiary", on_click=_period, args=(first, last, length))
    values = {**options, "failure_point": list(FAILURE_POINTS)}
    for key in _ALWAYS:
        if key in shown:
            _several(key, values.get(key, []), chosen)
    more = [key for key in _MORE if key in shown]
    # Half of the widgets, rarely used: they are drawn only when their section is open.
    if more and (section := _section("More", any(getattr(chosen, key) for key in more))):
        with section:
            _more(more, facets(), chosen)
    without = [key for key in NEGATIVE if key in shown]
    if without and (section := _section("Is not", any(getattr(chosen, key) for key in without))):
        values |= {key: facets()[key] for key in ("slot", "status")}
        with section:
            for key in without:
                _several(key, values.get(key.removeprefix(NOT), []), chosen)
    if chosen.since and chosen.until and chosen.since > chosen.until:
        st.caption("“From” is after “To”, so no day is left.")


def _section(title: str, in_use: bool) -> Any:
    """An expander, or None while it is closed; it is open if a filter of it is in use."""
    section = st.expander(title, expanded=in_use, key=title.casefold(), on_change="rerun")
    return section if in_use or section.open else None


def _more(keys: Sequence[str], facets: dict[str, list[str]], chosen: Filter) -> None:
    for key in keys:
        if key == "text":
            st.session_state[key] = chosen.text or ""
            st.text_input(
                "Words heard", key=key, placeholder="any", on_change=_changed, args=(key,)
            )
        elif key in LISTS:
            _several(key, facets[key], chosen)
        elif key in BANDS:
            _single(key, BANDS[key], chosen)
        elif key == "source":
            _single(key, SOURCES, chosen)
        # Nothing to choose where every date is possible.
        elif facets["dates"] or chosen.dates:
            _single(key, facets["dates"], chosen)


def within_days(chosen: Filter, first: date, last: date) -> Filter:
    """The filter without a bound that restricts nothing.

    Raises UsageError if it leaves no scored day.
    """
    for key, day in (("since", chosen.since), ("until", chosen.until)):
        if day and (day > last if key == "since" else day < first):
            raise UsageError(
                f"{key}={day} leaves no day: turns were scored from {first} to {last}; choose a "
                "day in this range."
            )
    return replace(
        chosen,
        since=chosen.since if chosen.since and chosen.since >= first else None,
        until=chosen.until if chosen.until and chosen.until <= last else None,
    )


def _several(key: str, options: Sequence[str], chosen: Filter) -> None:
    """Any number of values; those that the filter has are offered too."""
    selected = list(getattr(chosen, key))
    # A single value leaves nothing to choose, unless it is chosen; but a turn may have no slot.
    if len(options) < (1 if key.removeprefix(NOT) == "slot" else 2) and not selected:
        return
    st.session_state[key] = selected
    label = _LABELS[key.removeprefix(NOT)]
    st.multiselect(
        f"{label} is not" if key in NEGATIVE else label,
        [*options, *(value for value in selected if value not in options)],
        key=key,
        placeholder="none" if key in NEGATIVE else "all",
        format_func=_words_of(key),
        wrap=True,
        on_change=_changed,
        args=(key,),
    )


def _words_of(key: str) -> Callable[[str], str]:
    """How the values of a filter are written."""
    if "failure_point" in key:
        return lambda value: NAMES.get(value, value)
    return version_title if key.removeprefix(NOT) == "version" else str


def _single(key: str, offered: Sequence[str], chosen: Filter) -> None:
    """One value or none; the filter may have one that is not among `offered`."""
    value = getattr(chosen, key)
    selected = None if value is None else str(value)
    st.session_state[key] = selected
    st.selectbox(
        _LABELS[key],
        [*offered, *([selected] if selected and selected not in offered else [])],
        index=None,
        key=key,
        placeholder="any",
        on_change=_changed,
        args=(key,),
    )


def _changed(key: str) -> None:
    """Callback of a widget: its value becomes that of the filter."""
    value: Any = st.session_state[key]
    if key in LISTS:
        value = tuple(value)
    elif key in BANDS and value:
        value = Range.parse(key, value)
    elif key == "text":
        value = value.strip() or None
    changes: dict[str, Any] = {key: value}
    address.set_filter(replace(address.present(), **changes))


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
            st.button("Clear all", type="tertiary", on_click=address.set_filter, args=(Filter(),))
    for sentence in current_view().unknown:
        st.text(sentence)


def _period(first: date, last: date, days: int | None) -> None:
    start = None if days is None else last - timedelta(days=days - 1)
    address.set_filter(
        replace(
            address.present(),
            since=max(first, start) if start else None,
            until=last if start else None,
        )
    )


def _remove(chip: Chip) -> None:
    address.set_filter(address.present().without(chip))
