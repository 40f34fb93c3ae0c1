"""Explore: the choices kept in its link, the numbers of the slice, and the saved views."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, urlencode

import streamlit as st

from charts.formatting import (
    count,
    percent,
    plain,
)
from data.errors import FaultlineError, UsageError
from data.queries import overview, turn_table
from data.queries.filters import Filter
from data.queries.pivot import ANY, DIMENSIONS, MEASURES
from data.queries.turn_list import order_of
from data.queries.turn_table import (
    COLUMNS,
    ORDERS,
    SHOWN,
)
from data.schema.trace import FAILURES
from data.store import workspace
from parts.server.access import open_store
from parts.server.caching import cached_data
from parts.shared import address
from parts.shared.headline import defect_rate, headline
from parts.shared.view import (
    CacheKey,
    View,
    go_to_newest,
)
from parts.shared.writing import refused

PARTS = {"pivot": "Pivot", "table": "Turns", "sql": "SQL"}
NONE = "none"
# URL parameter -> the values it may have; the first is the default, unless `DEFAULTS` has one.
CHOICES: dict[str, tuple[str, ...]] = {
    "show": tuple(PARTS),
    "rows": tuple(DIMENSIONS),
    "cols": (NONE, *DIMENSIONS),
    "of": (ANY, *FAILURES),
    "measure": MEASURES,
}
DEFAULTS = {"cols": "locale", "order": ORDERS[0]}
# Parameters of free text; a longer statement does not fit a link.
COLS, SQL, ORDER = "columns", "sql", "order"
PARAMETERS = (*CHOICES, ORDER, COLS, SQL)
LONGEST_SQL = 6000
_LAST = "explore-last"


def restore() -> None:
    """Restore this session's last choices where the link has none.

    Raises UsageError for an invalid value in the link.
    """
    last: dict[str, str] = st.session_state.setdefault(_LAST, {})
    # A link with any of these parameters replaces all of the session's choices.
    if any(key in st.query_params for key in PARAMETERS):
        last.clear()
    for key in PARAMETERS:
        if key in st.query_params:
            _possible(key, st.query_params[key])
            last[key] = st.query_params[key]
    address.write({"show": _default("show"), **address.query(), **last})


def _possible(key: str, value: str) -> None:
    """Raise UsageError if a parameter cannot have a value; no value is always possible."""
    if value and key in CHOICES and value not in CHOICES[key]:
        raise UsageError(f"Unknown {key}={value[:60]}; give one of {', '.join(CHOICES[key])}.")
    if value and key == ORDER:
        order_of(value)
    if key == COLS:
        for name in filter(None, value.split(",")):
            if name not in COLUMNS:
                raise UsageError(
                    f"Unknown column {name[:60]} in {key}; give some of {', '.join(COLUMNS)}."
                )


def choice(key: str) -> str:
    """The value of a parameter in the link, or its default."""
    return str(st.query_params.get(key, _default(key)))


def _default(key: str) -> str:
    return DEFAULTS.get(key, CHOICES.get(key, ("",))[0])


def set_choice(key: str, value: str | None) -> None:
    """Put a choice into the link; to be called in a callback or before a rerun."""
    set_choices({key: value})


def set_choices(values: Mapping[str, str | None], chosen: Filter | None = None) -> None:
    """Put choices into the link, and a filter, in one step of the browser's history."""
    last: dict[str, str] = st.session_state.setdefault(_LAST, {})
    others = {k: v for k, v in address.query().items() if k not in (*values, "page")}
    for key, value in values.items():
        last.pop(key, None)
        # `show` is always there: a link to Explore without any choice means those made last.
        if value and (key == "show" or value != _default(key)):
            last[key] = value
            others[key] = [value]
    address.set_filter(address.present() if chosen is None else chosen, others)


def show_choice() -> str:
    """Draw the choice of the part of the page, and return it: a key of `PARTS`."""
    st.session_state["explore-w-show"] = choice("show")
    st.segmented_control(
        "Show",
        tuple(PARTS),
        key="explore-w-show",
        format_func=PARTS.__getitem__,
        required=True,
        label_visibility="collapsed",
        on_change=lambda: set_choice("show", st.session_state["explore-w-show"]),
    )
    return choice("show")


def shown_columns() -> tuple[str, ...]:
    """The columns of the table that the link names, or the default ones."""
    named = tuple(name for name in choice(COLS).split(",") if name in COLUMNS)
    return named or SHOWN


def link_query(view: View) -> dict[str, list[str]]:
    """All URL parameters of what is on the page: version, model, filters, and these choices."""
    mine = {key: [st.query_params[key]] for key in PARAMETERS if key in st.query_params}
    return {**view.link(), **mine}


@cached_data(max_entries=64, show_spinner="Counting")
def _counts(key: CacheKey, _view: View) -> tuple[overview.Totals, int]:
    assert _view.model is not None
    view = (_view.snapshot, _view.model, _view.chosen)
    return overview.totals(overview.trend(*view, "month")), turn_table.annotated(*view)


def counts(view: View) -> tuple[overview.Totals, int]:
    """Totals of the turns within the filters, and how many of them people have judged."""
    return _counts(view.cache_key(), view)


def numbers(view: View, total: overview.Totals, judged: int) -> None:
    """Draw four numbers about the slice; `judged` is the number of turns judged by people."""
    # Turns with impossible dates have no period to estimate a rate for.
    head = headline(view)
    with st.grid(4, min_column_width=185, gap="small"):
        st.metric("Turns", count(total.turns), border=True, height="stretch")
        if head is not None:
            defect_rate(head)
        st.metric(
            "Predicted defects",
            f"{count(total.defects)} :small[:gray[{percent(total.defects / total.turns)}]]",
            border=True,
            height="stretch",
            help="Turns whose predicted failure point is not “correct”.",
        )
        st.metric(
            "Human-labelled",
            f"{count(judged)} :small[:gray[{percent(judged / total.turns)}]]",
            border=True,
            height="stretch",
            help="Turns with a failure point from the logs’ own gold or from annotators.",
        )


def views_menu(view: View) -> None:
    """Open, save and delete named views."""
    views = [saved for saved in workspace.views(view.snapshot) if saved["page"] == "explore"]
    with st.popover("Views", icon=":material/bookmark:"):
        if not views:
            st.caption("No view is saved yet. A view keeps the filters and everything chosen here.")
        for index, saved in enumerate(views):
            with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
                st.button(
                    plain(saved["name"]),
                    key=f"view-{index}",
                    on_click=open_view,
                    args=(str(saved["query"]),),
                    width="stretch",
                )
                st.button(
                    "Delete",
                    key=f"delete-{index}",
                    icon=":material/delete:",
                    type="tertiary",
                    help=f"Delete the view {plain(saved['name'])}",
                    on_click=_delete,
                    args=(view.path, str(saved["name"])),
                )
        with st.form("save-view", border=False, clear_on_submit=True):
            st.text_input("Name", key="view-name", max_chars=100)
            st.form_submit_button(
                "Save this view", icon=":material/bookmark_add:", on_click=_save, args=(view,)
            )
        if message := st.session_state.pop("view-trouble", None):
            st.caption(plain(message))


def _save(view: View) -> None:
    query = {k: v for k, v in link_query(view).items() if k not in ("at", "model")}
    name, choices = st.session_state["view-name"], urlencode(query, doseq=True)
    _write(view.path, lambda: workspace.save_view(open_store(view.path), name, "explore", choices))


def _delete(path: str, name: str) -> None:
    _write(path, lambda: workspace.drop_view(open_store(path), name))


def _write(path: str, change: Callable[[], object]) -> None:
    if problem := refused(change, path):
        st.session_state["view-trouble"] = problem
    else:
        go_to_newest()


def open_view(query: str) -> None:
    """Callback: set the filters and the choices of a saved view; the version stays as it is."""
    parameters: dict[str, list[str]] = {}
    for key, value in parse_qsl(query):
        parameters.setdefault(key, []).append(value)
    try:
        chosen = Filter.from_query(parameters, ordered=False)
        for key in PARAMETERS:
            _possible(key, parameters.get(key, [""])[-1])
    except FaultlineError as error:
        st.session_state["view-trouble"] = str(error)
        return
    given = {key: values[-1] for key, values in parameters.items() if key in PARAMETERS}
    mine = {"show": _default("show"), **given}
    st.session_state[_LAST] = mine
    pins = {key: st.query_params[key] for key in address.PINS if key in st.query_params}
    address.set_filter(chosen, {**pins, **mine})
    # The editor's widget keeps its own copy of the text.
    st.session_state.pop("explore-w-sql", None)
