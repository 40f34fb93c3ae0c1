"""The dashboard's entry point: store, snapshot, shared filters, navigation."""

from __future__ import annotations

import streamlit as st

from data.errors import FaultlineError, StoreMissing, UsageError, VersionGone
from data.queries.filters import Filter
from data.store.store import Store
from parts.server import sign_in
from parts.shared import page_frame
from parts.shared.filter_bar import (
    clear,
    filters,
    model_choice,
)
from parts.shared.view import (
    View,
    choices,
    facet_choices,
    hand_over,
    pages,
    scorers,
    snapshot_at,
    store_path,
)

st.set_page_config(page_title="Faultline", page_icon=page_frame.ICON, layout="wide")
page_frame.styles()
if not sign_in.admitted():
    # Without it Streamlit would offer, and run, the scripts of the folder `pages`.
    st.navigation(pages(icons=False), position="hidden")
    sign_in.page()
    st.stop()
page = st.navigation(pages(), position="top")
path = store_path()


def pinned(key: str, otherwise: str) -> str:
    """The link's value, else this session's, else `otherwise`; stored in both.

    A session keeps its version and model, so its numbers agree until the reader asks for newer.
    """
    value = st.query_params.get(key) or st.session_state.get(key) or otherwise
    st.session_state[key] = value
    if st.query_params.get(key) != value:
        st.query_params[key] = value
    return str(value)


def open_view() -> View:
    """The snapshot of the link, of this session, or the newest; then model and filters."""
    head = Store.open(path).head()
    version = pinned("at", head.version)
    snapshot = snapshot_at(path, version)
    outdated = version != head.version
    scored = scorers(path, version)
    if not scored:
        return View(path, snapshot, outdated, None, None, Filter())
    model = pinned("model", head.model if head.model in scored else scored[0])
    if model not in scored:
        raise UsageError(
            f"No turn was scored by the model “{model}” in version {version}; "
            f"choose one of {', '.join(scored)}."
        )
    bounds, options = choices(path, version, model)
    with st.sidebar:
        if len(scored) > 1:
            model_choice(scored, model)
        if bounds is None:
            # No scored turn has a possible date: only these can be shown, and only in a list.
            return View(path, snapshot, outdated, model, None, Filter(dates="impossible"))
        chosen = filters(*bounds[:2], options, lambda: facet_choices(path, version, model))
    return View(path, snapshot, outdated, model, bounds, chosen)


body, foot = st.container(), st.container()
try:
    view = open_view()
    # Before the page, which may end the script early.
    with foot:
        page_frame.foot(view)
    with body:
        hand_over(view)
        if view.snapshot.counts()["turns"]:
            page.run()
        else:
            page_frame.no_turns(path)
except StoreMissing as error:
    page_frame.missing_store(str(error), path)
except (VersionGone, UsageError) as error:
    page_frame.trouble(str(error))
    if isinstance(error, UsageError):
        st.button("Clear the filters", on_click=clear, icon=":material/filter_alt_off:")
    page_frame.newest_button("Go to the newest version")
except FaultlineError as error:
    page_frame.trouble(str(error))
