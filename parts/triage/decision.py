"""What people decide about a slice: owner, state, note, ticket; and whether a fix helped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from analysis.fix_check import Fixed, fixed
from charts.formatting import (
    count,
    percent,
    plain,
    points,
)
from data.errors import FaultlineError
from data.queries.slices import (
    Conditions,
    before_and_on,
    find_release,
)
from data.store import workspace
from data.store.store import Store
from parts.shared.view import CacheKey, View, go_to_newest
from parts.triage.slice_picker import release_words


@st.cache_data(max_entries=64, show_spinner=False)
def _fixed(
    key: CacheKey,
    point: str,
    conditions: Conditions,
    release: tuple[str, str],
    _view: View,
) -> Fixed:
    assert _view.model is not None
    return fixed(
        *before_and_on(_view.snapshot, _view.model, point, _view.chosen, conditions, release)
    )


def decision(
    view: View,
    key: str,
    point: str,
    conditions: Conditions,
    held: Mapping[str, Any] | None,
) -> None:
    """The form that records a decision, and what became of a fix."""
    assert view.model is not None
    st.subheader("Who looks after it", anchor=False)
    if held and held["state"] == "fixed" and held["version"]:
        release = find_release(view.snapshot, view.model, point, held["version"])
        found = _fixed(view.turns_key, point, conditions, release, view)
        st.markdown(plain(fixed_words(found, release_words(":".join(release)))))
    held = held or {}
    with st.form(f"decision-{key}"):
        with st.grid(3, min_column_width=160, gap="small"):
            owner = st.text_input(
                "Owner", held.get("owner") or "", placeholder="nobody yet", max_chars=60
            )
            state = st.selectbox(
                "State", workspace.STATES, workspace.STATES.index(held.get("state") or "new")
            )
            version = st.text_input(
                "Fixed in version",
                held.get("version") or "",
                max_chars=100,
                placeholder="the release, as logged",
                help="As the logs name it, e.g. asr-4.3; needed for the state “fixed”.",
            )
        link = st.text_input(
            "Ticket", held.get("link") or "", placeholder="https://…", max_chars=2_000
        )
        note = st.text_area("Note", held.get("note") or "", height=80, max_chars=5_000)
        with st.container(horizontal=True, vertical_alignment="center"):
            saved = st.form_submit_button("Save", type="primary", icon=":material/save:")
            if held.get("link"):
                st.link_button("Open the ticket", held["link"], icon=":material/open_in_new:")
            if held.get("updated_at"):
                st.caption(f"Last changed {held['updated_at']:%-d %B %Y}")
    if not saved:
        return
    try:
        workspace.set_triage(
            Store.open(view.path),
            key,
            point,
            owner=owner,
            state=state or "new",
            version=version,
            note=note,
            link=link.strip(),
        )
    except FaultlineError as error:
        st.error(plain(str(error)))
    except OSError as error:
        st.error(plain(f"The store cannot be written to ({error.strerror}); nothing was saved."))
    else:
        go_to_newest()
        st.toast("Saved.")
        st.rerun()


def fixed_words(found: Fixed, release: str) -> str:
    """What became of a slice that is said to be fixed, in a sentence."""
    if found.finding == "unseen":
        return (
            f"{release} is not yet seen in these turns, so whether it helps is open; if it should "
            "be, compare its name with the versions among the filters."
        )
    sizes = f"{count(found.turns)} turns on {release}, {count(found.turns_before)} before"
    if found.finding == "few":
        return f"There are too few turns to tell whether {release} helped: {sizes}."
    ends = f"from {percent(found.before)} to {percent(found.after)}"
    change = f"{points(found.low)} to {points(found.high)}, p {_p(found.p_value)}; {sizes}"
    match found.finding:
        case "fell":
            return f"The rate fell {ends} with {release} ({change})."
        case "rose":
            return f"The rate did not fall with {release}: it rose {ends} ({change})."
        case _:
            return f"The rate did not fall clearly with {release}: {ends} ({change})."


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
