"""The dashboard's entry point: store, snapshot, shared filters, navigation."""

from __future__ import annotations

import streamlit as st

from data.errors import FaultlineError, NotPermitted, StoreMissing, UsageError, VersionGone
from data.queries.filters import Filter
from parts.server import access, sign_in
from parts.shared import address, agents, page_frame, unchecked
from parts.shared.filter_bar import (
    filters,
    model_choice,
    within_days,
)
from parts.shared.view import (
    NEEDS,
    PAGES,
    View,
    choices,
    facet_choices,
    hand_over,
    pages,
    scorers,
    snapshot_at,
    store_path,
    too_few,
    values_of,
)

st.set_page_config(page_title="Faultline", page_icon=page_frame.ICON, layout="wide")
page_frame.styles()
path = store_path()
refusal = access.begin(path)
if refusal is not None:
    # Without it Streamlit would offer, and run, the scripts of the folder `pages`.
    st.navigation(pages(icons=False), position="hidden")
    sign_in.page(refusal, access.leave)
    st.stop()
# The navigation is drawn by `page_frame.top`, in groups that a phone shows as well.
page = st.navigation(pages(), position="hidden")
name = page.url_path or PAGES[0][0]


def pinned(key: str, otherwise: str) -> str:
    """The link's value, else this session's, else `otherwise`; stored in the session.

    A session keeps its version and model, so its numbers agree until the reader asks for newer.
    """
    value = st.query_params.get(key) or st.session_state.get(key) or otherwise
    st.session_state[key] = value
    return str(value)


def open_view() -> View:
    """The snapshot of the link, of this session, or the newest; then model and filters."""
    chosen = address.read(name)
    head = access.open_store(path).head()
    version = pinned("at", head.version)
    snapshot = snapshot_at(path, version)
    outdated = version != head.version
    scored = scorers(path, version)
    if not scored:
        address.put("at", version)
        return View(path, snapshot, outdated, None, None, Filter())
    model = pinned("model", head.model if head.model in scored else scored[0])
    if model not in scored:
        raise UsageError(
            f"No turn was scored by the model “{model}” in version {version}; "
            f"choose one of {', '.join(scored)}."
        )
    bounds, options = choices(path, version, model)
    # Without a scored turn of a possible date, only the others can be shown, and only in a list.
    chosen = Filter(dates="impossible") if bounds is None else within_days(chosen, *bounds[:2])
    # The address is whole after every run, so that it can be copied at any time.
    address.set_filter(chosen, {**address.query(), "at": [version], "model": [model]})
    keys = address.offered(name)
    with st.sidebar:
        if len(scored) > 1:
            model_choice(scored, model)
        if keys and bounds is not None:
            filters(chosen, *bounds[:2], options, lambda: facet_choices(path, version, model), keys)
    unknown = address.unknown_values(chosen, values_of(path, version, model, chosen))
    return View(path, snapshot, outdated, model, bounds, chosen, tuple(unknown))


top, body, foot = st.container(), st.container(), st.container()
view: View | None = None
try:
    access.require(NEEDS[name], f"the page {name}")
    view = open_view()
    with top:
        page_frame.top(name, path, view)
    # Before the page, which may end the script early.
    with foot:
        page_frame.foot(view)
    with body:
        hand_over(view)
        if too_few(view):
            page_frame.too_few()
        elif view.snapshot.counts()["turns"]:
            unchecked.mark(view, name)
            agents.note(view, name)
            page.run()
        else:
            page_frame.no_turns(path)
except FaultlineError as error:
    # Above what the page had drawn so far, and with the way to the other pages in any case.
    with top:
        if view is None:
            page_frame.top(name, path)
        if isinstance(error, NotPermitted):
            page_frame.not_allowed(str(error))
        elif isinstance(error, StoreMissing):
            page_frame.missing_store(path)
        else:
            page_frame.trouble(str(error))
        if isinstance(error, UsageError):
            st.button(
                "Clear the filters",
                on_click=address.clear,
                icon=":material/filter_alt_off:",
            )
        if isinstance(error, UsageError | VersionGone):
            page_frame.newest_button("Go to the newest version")
