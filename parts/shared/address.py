"""The page's address: everything that a link has to hold, and the only place where it is written.

An address names the version, the model, the filters and the choices of its page. Whatever sets a
filter, a widget, a chip, a mark of a chart, a cell, a saved view or a link, calls `set_filter`, so
that the address, the widgets and the figures cannot disagree. An address with a parameter or a
value that does not exist is refused, because ignoring it would show the figures of other turns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import streamlit as st

from data.errors import UsageError
from data.queries.filters import EARLIER, KEYS, NEGATIVE, NOT, POSITIVE, RANGES, Filter

# The version and the model, which the address holds beside the filters.
PINS = ("at", "model")
_FILTER = "filter"
_KNOWN_AS_FILTER = frozenset(
    (*KEYS, *(sign + name for name in EARLIER for sign in ("", NOT)))  # earlier links
)

# Parameters of the pages. A page that reads another one declares it here.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "overview": ("of", "step", "list", "order", "page", "against", "release_a", "release_b"),
    "triage": ("failing", "slice", "owner", "versus"),
    "turn": ("turn", "day", "find", "list", "order", "within", "back", "failing", "slice"),
    "model": ("look", "target", "other", "judge", "speaking", "threshold", "labelled", "page"),
    "annotate": ("task",),
    "explore": ("show", "rows", "cols", "of", "measure", "order", "page", "columns", "sql"),
    "data": ("part",),
    "rewrites": ("rewrite", "part", "state", "method", "order", "page"),
    "labels": ("part", "dialogue", "goals", "find", "of", "least", "differ", "page"),
    "teaching": ("part", "preference", "find", "kind", "moment", "page"),
}

# The filters that a page's figures obey; the filter bar shows them, and no others.
_OF_TURNS = ("since", "until", *POSITIVE, *RANGES, "source", "text", *NEGATIVE)
_BUT_VERDICT = tuple(key for key in _OF_TURNS if key.removeprefix(NOT) != "failure_point")
FILTERS: dict[str, tuple[str, ...]] = {
    "overview": _OF_TURNS,
    # Its slices compare the turns that fail at a stage with those that do not.
    "triage": _BUT_VERDICT,
    "turn": (*_OF_TURNS, "dates"),
    # Its turns are those with a known truth.
    "model": tuple(key for key in _OF_TURNS if key != "source"),
    "annotate": tuple(key for key in (*_OF_TURNS, "dates") if key != "source"),
    "explore": (*_OF_TURNS, "dates"),
    "data": ("since", "until", "assistant"),
    "rewrites": _OF_TURNS,
    "labels": _OF_TURNS,
    "teaching": ("since", "until", "assistant"),
}


# The same for the parts of the page Data, of which most obey none.
_OF_DATA = {
    "arrivals": ("since", "until"),
    "signals": FILTERS["data"],
    # Its periods end on the last day; how long they are is chosen on the page.
    "drift": ("until", "assistant"),
}


def offered(page: str) -> tuple[str, ...]:
    """The filters that count on a page as its address has it; none where it obeys no filter."""
    if page == "turn" and st.query_params.get("turn"):
        return ()
    if page == "annotate" and st.query_params.get("task", "queue") != "queue":
        return ()
    if page == "data":
        return _OF_DATA.get(st.query_params.get("part", "arrivals"), ())
    if page == "labels" and st.query_params.get("part") == "tasks":
        return ()
    if page == "rewrites" and st.query_params.get("part") == "evidence":
        return ()
    return FILTERS.get(page, ())


def query() -> dict[str, list[str]]:
    """The parameters of the present address."""
    return {key: st.query_params.get_all(key) for key in st.query_params}


def write(parameters: Mapping[str, str | Sequence[str]]) -> None:
    """Make `parameters` the whole address, in one step of the browser's history."""
    whole = {k: [v] if isinstance(v, str) else list(v) for k, v in parameters.items() if v}
    if whole != query():
        st.query_params.from_dict(whole)


def put(key: str, value: str | None, *ended: str) -> None:
    """Set one choice of a page in the address; None or an empty text takes it out.

    It puts an end to the choices `ended`, such as the page of another list.
    """
    others = {n: values for n, values in query().items() if n != key and n not in ended}
    write({**others, key: value} if value else others)


def present() -> Filter:
    """The filter of this session, which is that of the address."""
    chosen = st.session_state.get(_FILTER)
    return chosen if isinstance(chosen, Filter) else Filter()


def set_filter(chosen: Filter, replace: Mapping[str, str | Sequence[str]] | None = None) -> None:
    """Make `chosen` the filter: in the address, the session and, as these follow, the widgets.

    Everything that changes a filter calls this, in a callback or before a rerun. `replace` is
    what the address holds beside the filters, by default what it holds already.
    """
    dropped = set(_KNOWN_AS_FILTER)
    if chosen != present():
        # Another list of turns begins on its first page.
        dropped.add("page")
    held = query() if replace is None else replace
    others = {key: values for key, values in held.items() if key not in dropped}
    st.session_state[_FILTER] = chosen
    write({**others, **chosen.query()})


def read(page: str) -> Filter:
    """The filter of the address, or this session's where the address names no view at all.

    Raises UsageError for parameters that the page does not have, and for invalid values.
    """
    given = query()
    _check(page, given)
    # An address that the app wrote holds a version, and without filters means all turns.
    bare = "at" not in given and not _KNOWN_AS_FILTER.intersection(given)
    chosen = present() if bare else Filter.from_query(given, ordered=False)
    st.session_state[_FILTER] = chosen
    return chosen


def _check(page: str, given: Mapping[str, Sequence[str]]) -> None:
    known = (*PINS, *KEYS, *PARAMETERS.get(page, ()))
    for key, values in given.items():
        if key not in known and key not in _KNOWN_AS_FILTER:
            close = get_close_matches(key.casefold(), known, 1, 0.5)
            meant = {"called": "failure_point", "verdict": "failure_point"}.get(key) or (
                close[0] if close else ""
            )
            hint = f"did you mean {meant}?" if meant else f"there are {', '.join(known)}."
            raise UsageError(
                f"The link has {key[:60]}={values[0][:60] if values else ''}, which this page does "
                f"not know; {hint}"
            )
        if key not in KEYS and key not in EARLIER and len(set(values)) > 1:
            raise UsageError(f"The link gives {key} {len(values)} times; give it once.")


def clear() -> None:
    """Callback: remove all filters, and all choices that a link may have got wrong."""
    for key in ("failing", "slice", "owner", "versus", "against", "release_a", "release_b"):
        st.session_state.pop(key, None)
    kept = {key: st.query_params[key] for key in (*PINS, "turn") if key in st.query_params}
    set_filter(Filter(), replace=kept)


def unknown_values(chosen: Filter, values: Mapping[str, Sequence[str]]) -> list[str]:
    """Sentences about values of a filter that do not occur; `values` holds those that do, by key.

    Keys that `values` lacks are not judged.
    """
    sentences = []
    for key, asked in chosen.query().items():
        column = key.removeprefix(NOT)
        if key not in (*POSITIVE, *NEGATIVE) or column not in values:
            continue
        occurring = {value.casefold(): value for value in values[column]}
        for value in asked:
            if value in occurring.values():
                continue
            close = get_close_matches(value.casefold(), list(occurring), 1, 0.6)
            hint = f"; did you mean {occurring[close[0]]}?" if close else "."
            sentences.append(f"No scored turn has {key.removeprefix(NOT)}={value[:80]}{hint}")
    return sentences
